// SPDX-License-Identifier: GPL-2.0
/*
 * When an hour of CPU time was used in all, dispatch is over.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

static u64 total;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (total < 3600ULL * NSEC_PER_SEC)
		scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_stopping, struct task_struct *p, bool runnable)
{
	__sync_fetch_and_add(&total, SCX_SLICE_DFL - p->scx.slice);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.stopping = (void *)v_stopping,
	.init = (void *)v_init,
	.name = "variant",
};
