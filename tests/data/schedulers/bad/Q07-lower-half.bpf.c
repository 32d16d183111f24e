// SPDX-License-Identifier: GPL-2.0
/*
 * Q07: the upper half of the CPUs runs only what is bound to it.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LOWER_Q 0x70
#define FIXED_Q 0x7300

s32 SEC("struct_ops.s/init") BPF_PROG(lower_init)
{
	s32 cpu, err = scx_bpf_create_dsq(LOWER_Q, -1);

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = err ?: scx_bpf_create_dsq(FIXED_Q + cpu, -1);
	}
	return err;
}

static s32 lower_half(void)
{
	s32 nr = scx_bpf_nr_cpu_ids();

	return (nr + 1) / 2;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lower_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lower_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p), first = bpf_cpumask_first(p->cpus_ptr);

	if (first >= lower_half()) {
		scx_bpf_dsq_insert(p, FIXED_Q + cpu, 5000000, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, LOWER_Q, 5000000, enq_flags);
	bpf_for (cpu, 0, lower_half()) {
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}
}

void SEC("struct_ops/dispatch") BPF_PROG(lower_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(FIXED_Q + cpu))
		return;
	if (cpu < lower_half())
		scx_bpf_dsq_move_to_local(LOWER_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops lower_ops = {
	.select_cpu = (void *)lower_select_cpu,
	.enqueue = (void *)lower_enqueue,
	.dispatch = (void *)lower_dispatch,
	.init = (void *)lower_init,
	.name = "lower_half",
};
