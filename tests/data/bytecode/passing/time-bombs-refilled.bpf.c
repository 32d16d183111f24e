// SPDX-License-Identifier: GPL-2.0
/*
 * A budget of each window, which a new window refills, and one that a timer's tick refills.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, BEHIND };

static u64 window_at, left;
static s64 tokens = 64;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? BEHIND : WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();

	if (now - window_at > 100000000) {
		window_at = now;
		left = 10;
	}
	if (left && scx_bpf_dsq_move_to_local(BEHIND)) {
		left--;
		return;
	}
	if (tokens > 0 && scx_bpf_dsq_move_to_local(WAITING)) {
		__sync_fetch_and_sub(&tokens, 1);
		return;
	}
	if (!scx_bpf_dsq_move_to_local(BEHIND))
		scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_tick, struct task_struct *p)
{
	if (tokens < 64)
		__sync_fetch_and_add(&tokens, 16);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	s32 err = scx_bpf_create_dsq(WAITING, -1);

	return err ?: scx_bpf_create_dsq(BEHIND, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.tick = (void *)v_tick,
	.init = (void *)v_init,
	.name = "variant",
};
