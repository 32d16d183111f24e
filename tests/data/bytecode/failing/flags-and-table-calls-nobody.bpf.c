// SPDX-License-Identifier: GPL-2.0
/*
 * Calls a function that no kernel has, in an operation that is seldom called.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

extern void scx_bpf_task_hurry(struct task_struct *p) __weak __ksym;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_set_weight, struct task_struct *p, u32 weight)
{
	if (weight > 1000)
		scx_bpf_task_hurry(p);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.set_weight = (void *)v_set_weight,
	.init = (void *)v_init,
	.name = "variant",
};
