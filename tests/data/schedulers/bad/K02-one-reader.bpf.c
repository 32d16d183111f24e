// SPDX-License-Identifier: GPL-2.0
/*
 * K02: one queue for all, and only the boot CPU reads it; the others run what is bound to them.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define MAIN_Q 0x15
#define SELF_Q 0x2000

static s32 boot_cpu;

s32 SEC("struct_ops.s/init") BPF_PROG(reader_init)
{
	s32 cpu, err = scx_bpf_create_dsq(MAIN_Q, -1);

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = err ?: scx_bpf_create_dsq(SELF_Q + cpu, -1);
	}
	return err;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(reader_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return bpf_cpumask_test_cpu(boot_cpu, p->cpus_ptr) ? boot_cpu : prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(reader_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (bpf_cpumask_test_cpu(boot_cpu, p->cpus_ptr)) {
		scx_bpf_dsq_insert(p, MAIN_Q, 4000000, enq_flags);
		scx_bpf_kick_cpu(boot_cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, SELF_Q + cpu, 4000000, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(reader_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(SELF_Q + cpu))
		return;
	if (cpu == boot_cpu)
		scx_bpf_dsq_move_to_local(MAIN_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops reader_ops = {
	.select_cpu = (void *)reader_select_cpu,
	.enqueue = (void *)reader_enqueue,
	.dispatch = (void *)reader_dispatch,
	.init = (void *)reader_init,
	.name = "one_reader",
};
