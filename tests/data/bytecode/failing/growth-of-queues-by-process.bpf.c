// SPDX-License-Identifier: GPL-2.0
/*
 * Makes a queue for each process.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { COMMON = 0x9 };

static const u64 own = 1ULL << 40;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, COMMON, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(COMMON);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (p->pid == p->tgid)
		scx_bpf_create_dsq(own | p->pid, -1);
	return 0;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(COMMON, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init_task = (void *)v_init_task,
	.init = (void *)v_init,
	.name = "variant",
};
