// SPDX-License-Identifier: GPL-2.0
/*
 * L05: gets the mask of idle CPUs and never puts it back when it finds one.
 * Stopped at Build or Bytecode: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define MASKED 0x31

s32 SEC("struct_ops.s/init") BPF_PROG(masked_init)
{
	return scx_bpf_create_dsq(MASKED, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(masked_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	const struct cpumask *idle = scx_bpf_get_idle_cpumask();

	if (bpf_cpumask_test_cpu(prev_cpu, idle))
		return prev_cpu;
	scx_bpf_put_idle_cpumask(idle);
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(masked_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, MASKED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(masked_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(MASKED);
}

SEC(".struct_ops.link")
struct sched_ext_ops masked_ops = {
	.select_cpu = (void *)masked_select_cpu,
	.enqueue = (void *)masked_enqueue,
	.dispatch = (void *)masked_dispatch,
	.init = (void *)masked_init,
	.name = "masked_choice",
};
