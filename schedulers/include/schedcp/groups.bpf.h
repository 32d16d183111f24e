/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cpu.weight of cgroups, flattened: each cgroup has a virtual time and competes with all others of
 * its class as if they were siblings. A cgroup that is ahead waits for as long as it is ahead, at
 * most GROUP_LAG_NS; one that was idle keeps that much credit at most.
 */
#ifndef SCHEDCP_GROUPS_BPF_H
#define SCHEDCP_GROUPS_BPF_H

#include "schedcp/classes.bpf.h"

#define GROUP_LAG_NS (500 * (u64)NSEC_PER_MSEC)

enum group_consts {
	GROUP_SMOOTHING = 16, /* what one run adds to the clock */
};

struct group_ctx {
	u64 vtime;
	u32 weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct group_ctx);
} group_ctxs SEC(".maps");

/* The average virtual time of the cgroups that run. */
u64 group_clock;

/* cpu.weight of a cgroup. */
static __always_inline u32 group_weight_in(struct cgroup *cgroup)
{
	struct group_ctx *group = bpf_cgrp_storage_get(&group_ctxs, cgroup, 0, 0);

	return group ? group->weight : WEIGHT_DEFAULT;
}

/* That of the task's cgroup. Only an operation on the task may ask. */
static __always_inline u32 group_weight_of(struct task_struct *p)
{
	struct cgroup *cgroup = scx_bpf_task_cgroup(p);
	u32 weight = group_weight_in(cgroup);

	bpf_cgroup_release(cgroup);
	return weight;
}

/* That of a cgroup for whose address nobody vouches. */
static __always_inline u32 group_weight_by_id(u64 id)
{
	struct cgroup *cgroup = bpf_cgroup_from_id(id);
	u32 weight;

	if (!cgroup)
		return WEIGHT_DEFAULT;
	weight = group_weight_in(cgroup);
	bpf_cgroup_release(cgroup);
	return weight;
}

/* Arrival, later by what the task's cgroup is ahead of the others. */
static __always_inline u64 group_order(struct task_struct *p)
{
	struct cgroup *cgroup = scx_bpf_task_cgroup(p);
	struct group_ctx *group = bpf_cgrp_storage_get(&group_ctxs, cgroup, 0, 0);
	u64 lag = 0;

	if (group && vtime_before(group->vtime, group_clock - GROUP_LAG_NS))
		group->vtime = group_clock - GROUP_LAG_NS;
	if (group && vtime_before(group_clock, group->vtime))
		lag = group->vtime - group_clock;
	bpf_cgroup_release(cgroup);
	return bpf_ktime_get_ns() + (lag < GROUP_LAG_NS ? lag : GROUP_LAG_NS);
}

/* Call it from ops.stopping. */
static __always_inline void group_charge(struct task_struct *p, u64 used_ns)
{
	struct cgroup *cgroup = scx_bpf_task_cgroup(p);
	struct group_ctx *group = bpf_cgrp_storage_get(&group_ctxs, cgroup, 0, 0);

	if (group) {
		__sync_fetch_and_add(&group->vtime,
				     used_ns * WEIGHT_DEFAULT / (group->weight ?: 1));
		group_clock += (s64)(group->vtime - group_clock) / GROUP_SMOOTHING;
	}
	bpf_cgroup_release(cgroup);
}

/* Call it from ops.cgroup_init, which may sleep. */
static __always_inline s32 group_create(struct cgroup *cgroup, u32 weight)
{
	struct group_ctx *group =
		bpf_cgrp_storage_get(&group_ctxs, cgroup, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!group)
		return -NO_MEMORY;
	group->vtime = group_clock;
	group->weight = weight;
	return 0;
}

/* Call it from ops.cgroup_set_weight. */
static __always_inline void group_set_weight(struct cgroup *cgroup, u32 weight)
{
	struct group_ctx *group = bpf_cgrp_storage_get(&group_ctxs, cgroup, 0, 0);

	if (group)
		group->weight = weight;
}

#endif
