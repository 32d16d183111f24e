// SPDX-License-Identifier: GPL-2.0
/*
 * Groups that came are counted, and after so many of them a task is put at the head.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

static u32 groups;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (groups >> 12)
		enq_flags |= SCX_ENQ_HEAD;
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	groups++;
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
	.cgroup_init = (void *)v_cgroup_init,
	.init = (void *)v_init,
	.name = "variant",
};
