// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks stay on the CPU that they were on.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

s32 SCHEDCP_OPS(v_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | scx_bpf_task_cpu(p), SCX_SLICE_DFL, enq_flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.select_cpu = (void *)v_select_cpu,
	.enqueue = (void *)v_enqueue,
	.name = "variant",
};
