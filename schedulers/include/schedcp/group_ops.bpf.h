/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Operations that tell of cgroups, and of tasks that come from another class: the same for every
 * scheduler that keeps weights and limits of cgroups. Each has to be in its table.
 */
#ifndef SCHEDCP_GROUP_OPS_BPF_H
#define SCHEDCP_GROUP_OPS_BPF_H

#include "schedcp/group_limits.bpf.h"

/* The task may come from another class: what it did there is not charged. */
void SCHEDCP_OPS(group_enable, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);

	if (wait)
		wait->vtime = vtime_now;
}

s32 SCHEDCP_OPS_SLEEPABLE(group_cgroup_init, struct cgroup *cgroup,
			  struct scx_cgroup_init_args *args)
{
	group_create(cgroup, args->weight);
	return 0;
}

void SCHEDCP_OPS_SLEEPABLE(group_cgroup_exit, struct cgroup *cgroup)
{
	group_destroy(cgroup);
}

void SCHEDCP_OPS(group_cgroup_set_weight, struct cgroup *cgroup, u32 weight)
{
	group_set_weight(cgroup, weight);
}

#endif
