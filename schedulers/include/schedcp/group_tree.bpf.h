/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cpu.weight as a hierarchy: what part of the machine each task deserves.
 *
 * At each level the runnable tasks of a cgroup and its cgroups with runnable tasks divide what it
 * has, in proportion to their weights; who has nothing to run takes no part. A task's share is the
 * product of its parts from its own level up to the root. A cgroup with cpu.idle weighs as little
 * as a task of SCHED_IDLE.
 *
 * What is not known weighs nothing: cgroups beyond GROUPS_MAX, and levels beyond GROUP_LEVELS_MAX.
 * Their tasks count as if nobody above them had to share, and have no limit.
 */
#ifndef SCHEDCP_GROUP_TREE_BPF_H
#define SCHEDCP_GROUP_TREE_BPF_H

#include "schedcp/common.bpf.h"

enum group_tree_consts {
	GROUPS_MAX = 16384,
	GROUP_LEVELS_MAX = 16,
	GROUP_IDLE_WEIGHT = 1,
};

#define SHARE_ONE (1ULL << 28) /* all of the machine */

/* A cgroup. Only those with the cpu controller are told of, and their parents have it, too. */
struct group_node {
	u64 parent;  /* 0: this is the root */
	u64 claims;  /* the weights of who runs or waits here, tasks and cgroups */
	u32 active;  /* how many these are */
	u32 weight;  /* cpu.weight */
	u32 worth;   /* what that or cpu.idle amounts to */
	u32 claimed; /* its worth as the parent's claims have it; 0: nobody runs or waits here */
	/* Limits; see group_limits.bpf.h. */
	u64 looked_at;
	u64 quota_ns;
	u64 period_ns;	/* 0: not read yet */
	u64 paid_until; /* the time until which its quota is used up */
	u64 due_at;	/* when its tasks may go on, as its own and its ancestors' limits say */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, GROUPS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct group_node);
} group_nodes SEC(".maps");

/* A task as its cgroup has it. */
struct group_member {
	u64 group;   /* the cgroup's id; 0: not known yet */
	u64 share;   /* when it was charged last; 0: not yet */
	u32 claim;   /* its weight as the cgroup's claims have it */
	u32 at_once; /* 1: it has its CPU without having waited for it; 0: it waited */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct group_member);
} group_members SEC(".maps");

static __always_inline struct group_node *group_node_of(u64 id)
{
	return bpf_map_lookup_elem(&group_nodes, &id);
}

static __always_inline struct group_member *group_member_of(struct task_struct *p)
{
	return bpf_task_storage_get(&group_members, p, 0, 0);
}

/* Call it from a sleepable ops.init_task. */
static __always_inline s32 group_member_create(struct task_struct *p)
{
	return bpf_task_storage_get(&group_members, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE)
		       ? 0
		       : -NO_MEMORY;
}

/*
 * Call it from ops.cgroup_init. A cgroup too many is not refused, because its pod would not start:
 * it is unknown.
 */
static __always_inline void group_create(struct cgroup *cgroup, u32 weight)
{
	struct group_node node = {.weight = weight, .worth = weight};
	u64 id = BPF_CORE_READ(cgroup, kn, id);
	s32 level = BPF_CORE_READ(cgroup, level);
	struct cgroup *parent = NULL;

	if (level > 0 &&
	    !bpf_probe_read_kernel(&parent, sizeof(parent), &cgroup->ancestors[level - 1]) &&
	    parent)
		node.parent = BPF_CORE_READ(parent, kn, id);
	bpf_map_update_elem(&group_nodes, &id, &node, BPF_ANY);
}

/* Call it from ops.cgroup_set_weight. */
static __always_inline void group_set_weight(struct cgroup *cgroup, u32 weight)
{
	struct group_node *node = group_node_of(BPF_CORE_READ(cgroup, kn, id));

	if (node)
		node->weight = weight;
}

/*
 * Call it from ops.runnable. Every step is atomic and only adds or takes away what it has seen, so
 * that the sums are right once all steps of all CPUs are done, whatever their order.
 */
static __always_inline void group_join(struct task_struct *p, struct group_member *member)
{
	struct cgroup *cgroup = scx_bpf_task_cgroup(p);
	u64 id = BPF_CORE_READ(cgroup, kn, id);
	s64 claim = p->scx.weight;
	s32 level;

	bpf_cgroup_release(cgroup);
	member->group = id;
	member->claim = p->scx.weight;
	bpf_for (level, 0, GROUP_LEVELS_MAX) {
		struct group_node *node = group_node_of(id);
		u32 worth;

		if (!node)
			break;
		__sync_fetch_and_add(&node->claims, claim);
		if (__sync_fetch_and_add(&node->active, 1))
			break;
		worth = node->worth;
		claim = (s64)worth - __sync_lock_test_and_set(&node->claimed, worth);
		id = node->parent;
	}
}

/* Call it from ops.quiescent. */
static __always_inline void group_leave(const struct group_member *member)
{
	u64 id = member->group;
	s64 claim = member->claim;
	s32 level;

	bpf_for (level, 0, GROUP_LEVELS_MAX) {
		struct group_node *node = group_node_of(id);

		if (!node)
			break;
		__sync_fetch_and_add(&node->claims, -claim);
		if (__sync_fetch_and_add(&node->active, -1) != 1)
			break;
		claim = __sync_lock_test_and_set(&node->claimed, 0);
		id = node->parent;
	}
}

/*
 * Call it from ops.cgroup_exit. A task that ended may be gone from its cgroup before it leaves its
 * CPU for the last time, and nobody will leave here for it: take back what is claimed. If nobody
 * else is in the parent, that keeps its own claim until it is in use again or gone, too.
 */
static __always_inline void group_destroy(struct cgroup *cgroup)
{
	u64 id = BPF_CORE_READ(cgroup, kn, id);
	struct group_node *node = group_node_of(id), *parent = NULL;
	s64 claimed = 0;

	if (node) {
		parent = group_node_of(node->parent);
		claimed = __sync_lock_test_and_set(&node->claimed, 0);
	}
	if (parent && claimed) {
		__sync_fetch_and_add(&parent->claims, -claimed);
		__sync_fetch_and_add(&parent->active, -1);
	}
	bpf_map_delete_elem(&group_nodes, &id);
}

#endif
