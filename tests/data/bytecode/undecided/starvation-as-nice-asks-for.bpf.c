// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks that were made nicer have one turn of 64, and Linux would not give them more.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { FAVOURED = 0x9, BEHIND };

static u64 turns;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 50 ? BEHIND : FAVOURED, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (__sync_fetch_and_add(&turns, 1) % 64 == 0 && scx_bpf_dsq_move_to_local(BEHIND))
		return;
	if (!scx_bpf_dsq_move_to_local(FAVOURED))
		scx_bpf_dsq_move_to_local(BEHIND);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(FAVOURED, -1) ?: scx_bpf_create_dsq(BEHIND, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
