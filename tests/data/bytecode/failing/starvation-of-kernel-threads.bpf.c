// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel threads run after the idle task only.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { FIRST = 0x9, SECOND };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->flags & TASK_IS_KTHREAD ? SECOND : FIRST, SCX_SLICE_DFL,
			   enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (prev && prev->pid == 0 && scx_bpf_dsq_move_to_local(SECOND))
		return;
	scx_bpf_dsq_move_to_local(FIRST);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(FIRST, -1) ?: scx_bpf_create_dsq(SECOND, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
