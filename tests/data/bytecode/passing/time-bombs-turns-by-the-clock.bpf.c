// SPDX-License-Identifier: GPL-2.0
/*
 * Two queues go first by turns of half a second, and both are always looked into.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, LIGHTER = 0xa };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight > WEIGHT_DEFAULT ? WAITING : LIGHTER, SCX_SLICE_DFL,
			   enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	bool odd = bpf_ktime_get_ns() / 500000000 & 1;

	if (!scx_bpf_dsq_move_to_local(odd ? WAITING : LIGHTER))
		scx_bpf_dsq_move_to_local(odd ? LIGHTER : WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1) ?: scx_bpf_create_dsq(LIGHTER, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
