// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks on their way out are served first in every eighth round.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, LEAVING = 0xa, EXITING = 0x4, EACH = 8 };

static u64 vtime_now;
static u32 rounds;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;

	if (p->flags & EXITING) {
		scx_bpf_dsq_insert(p, LEAVING, SCX_SLICE_DFL, enq_flags);
		return;
	}
	if ((s64)(vtime - vtime_now) < 0)
		vtime = vtime_now;
	scx_bpf_dsq_insert_vtime(p, WAITING, SCX_SLICE_DFL, vtime, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (__sync_fetch_and_add(&rounds, 1) % EACH == 0 && scx_bpf_dsq_move_to_local(LEAVING))
		return;
	if (!scx_bpf_dsq_move_to_local(WAITING))
		scx_bpf_dsq_move_to_local(LEAVING);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	if ((s64)(vtime_now - p->scx.dsq_vtime) < 0)
		vtime_now = p->scx.dsq_vtime;
}

void SCHEDCP_OPS(v_stopping, struct task_struct *p, bool runnable)
{
	p->scx.dsq_vtime += SCX_SLICE_DFL - p->scx.slice;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	s32 err = scx_bpf_create_dsq(WAITING, -1);

	return err ?: scx_bpf_create_dsq(LEAVING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.running = (void *)v_running,
	.stopping = (void *)v_stopping,
	.init = (void *)v_init,
	.flags = SCX_OPS_ENQ_EXITING,
	.name = "variant",
};
