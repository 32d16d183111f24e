// SPDX-License-Identifier: GPL-2.0
/*
 * Looks at all who wait to find the lightest weight.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

static u32 lightest;

static __noinline void look(void)
{
	struct task_struct *p;
	u32 found = 10000;

	bpf_for_each (scx_dsq, p, WAITING, SCX_DSQ_ITER_REV) {
		if (p->scx.weight < found)
			found = p->scx.weight;
	}
	lightest = found;
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	look();
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
