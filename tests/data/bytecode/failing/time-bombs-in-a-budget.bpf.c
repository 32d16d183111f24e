// SPDX-License-Identifier: GPL-2.0
/*
 * There are a million slices for light tasks, and nobody ever adds to them.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, BEHIND };

static s64 left = 1000000;
static u32 turn;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? BEHIND : WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (++turn % 4 == 0 && scx_bpf_dsq_move_to_local(WAITING))
		return;
	if (left > 0 && scx_bpf_dsq_move_to_local(BEHIND)) {
		__sync_fetch_and_sub(&left, 1);
		return;
	}
	scx_bpf_dsq_move_to_local(WAITING);
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
	.init = (void *)v_init,
	.name = "variant",
};
