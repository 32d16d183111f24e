// SPDX-License-Identifier: GPL-2.0
/*
 * Who has lived for a day, or has used an hour, goes to the head of the queue.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool old = bpf_ktime_get_ns() - p->start_time > 24ULL * 3600 * NSEC_PER_SEC;

	if (old || p->se.sum_exec_runtime / NSEC_PER_SEC > 3600)
		enq_flags |= SCX_ENQ_HEAD;
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
