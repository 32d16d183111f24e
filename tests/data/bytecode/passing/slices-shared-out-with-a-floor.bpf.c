// SPDX-License-Identifier: GPL-2.0
/*
 * A slice is shared out among those who wait, and half a millisecond is left to each.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 waiting = scx_bpf_dsq_nr_queued(WAITING) + 1;

	scx_bpf_dsq_insert(p, WAITING, 4000000 / waiting + 500000, enq_flags);
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
