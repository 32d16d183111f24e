// SPDX-License-Identifier: GPL-2.0
/*
 * Every eighth turn in a row is for the second queue, and the count begins anew with its turn.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { FIRST = 0x9, SECOND };

static u32 turns;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? SECOND : FIRST, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	turns = p->scx.weight < 100 ? 0 : turns + 1;
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (turns >= 8 && scx_bpf_dsq_move_to_local(SECOND))
		return;
	if (!scx_bpf_dsq_move_to_local(FIRST))
		scx_bpf_dsq_move_to_local(SECOND);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(FIRST, -1) ?: scx_bpf_create_dsq(SECOND, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.running = (void *)v_running,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
