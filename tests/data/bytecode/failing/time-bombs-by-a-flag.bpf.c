// SPDX-License-Identifier: GPL-2.0
/*
 * The tick says by a flag, which the clock decides, that nobody is served for half a minute of
 * each ten.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

static u32 closed;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!closed)
		scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_tick, struct task_struct *p)
{
	if (bpf_ktime_get_ns() / NSEC_PER_SEC % 600 >= 570)
		closed = 1;
	else
		closed = 0;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.tick = (void *)v_tick,
	.init = (void *)v_init,
	.name = "variant",
};
