// SPDX-License-Identifier: GPL-2.0
/*
 * Two classes, looked at by a callback that ends when it has found somebody.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { CLASS = 0x610 };

static long look(u32 i, void *ctx)
{
	return scx_bpf_dsq_move_to_local(CLASS + i) ? 1 : 0;
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, CLASS + (p->scx.weight < 100), SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	bpf_loop(2, look, NULL, 0);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(CLASS, -1) ?: scx_bpf_create_dsq(CLASS + 1, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
