// SPDX-License-Identifier: GPL-2.0
/*
 * The local queue of a CPU, but for the upper half of its id.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 queue = SCX_DSQ_LOCAL_ON & 0xffffffff;

	queue |= scx_bpf_task_cpu(p);
	scx_bpf_dsq_insert(p, queue, SCX_SLICE_DFL, enq_flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.name = "variant",
};
