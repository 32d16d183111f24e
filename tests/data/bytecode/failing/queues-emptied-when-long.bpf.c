// SPDX-License-Identifier: GPL-2.0
/*
 * Heavy tasks are served only while more than ten of them wait.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, HEAVY = 0xa };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight > WEIGHT_DEFAULT ? HEAVY : WAITING, SCX_SLICE_DFL,
			   enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_nr_queued(HEAVY) > 10 && scx_bpf_dsq_move_to_local(HEAVY))
		return;
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1) ?: scx_bpf_create_dsq(HEAVY, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
