// SPDX-License-Identifier: GPL-2.0
/*
 * Sorted by time, and then somebody comes out of a second queue without an order.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { SORTED = 0x7d1, PLAIN };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->scx.weight < 50)
		scx_bpf_dsq_insert(p, PLAIN, SCX_SLICE_DFL, enq_flags);
	else
		scx_bpf_dsq_insert_vtime(p, SORTED, SCX_SLICE_DFL, bpf_ktime_get_ns(), enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;

	bpf_for_each (scx_dsq, p, PLAIN, 0) {
		scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, SORTED, 0);
	}
	scx_bpf_dsq_move_to_local(SORTED);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(SORTED, -1) ?: scx_bpf_create_dsq(PLAIN, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
