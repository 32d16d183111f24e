// SPDX-License-Identifier: GPL-2.0
/*
 * Q01: a waking task goes to a CPU that chance names among those it may use, busy or idle, and
 * stays in that one's local queue.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OTHERS 0x50

static s32 random_cpu(struct task_struct *p)
{
	u32 nr = scx_bpf_nr_cpu_ids(), tries;
	s32 cpu;

	bpf_for (tries, 0, 8) {
		cpu = bpf_get_prandom_u32() % nr;
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			return cpu;
	}
	return bpf_cpumask_first(p->cpus_ptr);
}

s32 SEC("struct_ops.s/init") BPF_PROG(dice_init)
{
	return scx_bpf_create_dsq(OTHERS, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(dice_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = random_cpu(p);

	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 10000000, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(dice_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, OTHERS, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(dice_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(OTHERS);
}

SEC(".struct_ops.link")
struct sched_ext_ops dice_ops = {
	.select_cpu = (void *)dice_select_cpu,
	.enqueue = (void *)dice_enqueue,
	.dispatch = (void *)dice_dispatch,
	.init = (void *)dice_init,
	.name = "dice",
};
