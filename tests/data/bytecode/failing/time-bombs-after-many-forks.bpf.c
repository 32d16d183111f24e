// SPDX-License-Identifier: GPL-2.0
/*
 * Beyond so many tasks nobody is taken out any more; only forks are counted.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

static u64 born;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (born < 30000)
		scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	__sync_fetch_and_add(&born, 1);
	return 0;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init_task = (void *)v_init_task,
	.init = (void *)v_init,
	.name = "variant",
};
