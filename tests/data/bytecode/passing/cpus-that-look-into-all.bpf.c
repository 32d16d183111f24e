// SPDX-License-Identifier: GPL-2.0
/*
 * Chance spreads tasks over four queues, and every CPU looks into all of them.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { QUEUES = 4 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, bpf_get_prandom_u32() % QUEUES, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 queue;

	bpf_for (queue, 0, QUEUES)
		if (scx_bpf_dsq_move_to_local((cpu + queue) % QUEUES))
			return;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	s32 queue, err;

	bpf_for (queue, 0, QUEUES) {
		err = scx_bpf_create_dsq(queue, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
