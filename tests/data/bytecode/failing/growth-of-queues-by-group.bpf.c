// SPDX-License-Identifier: GPL-2.0
/*
 * Makes a queue for each control group, and keeps it.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	scx_bpf_create_dsq(cgrp->kn->id, -1);
	return 0;
}

void SCHEDCP_OPS_SLEEPABLE(v_cgroup_exit, struct cgroup *cgrp)
{
	bpf_printk("gone");
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.cgroup_init = (void *)v_cgroup_init,
	.cgroup_exit = (void *)v_cgroup_exit,
	.name = "variant",
};
