// SPDX-License-Identifier: GPL-2.0
/*
 * Makes a queue when one is long, in a tick.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

static u64 last = 0x100;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
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

void SCHEDCP_OPS(v_tick, struct task_struct *p)
{
	if (scx_bpf_dsq_nr_queued(WAITING) > 64 && last < 0x104)
		scx_bpf_create_dsq(++last, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.tick = (void *)v_tick,
	.name = "variant",
};
