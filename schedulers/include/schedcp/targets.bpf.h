/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Target cgroups: user space lists those of its policy's pods in `target_cgroups`.
 */
#ifndef SCHEDCP_TARGETS_BPF_H
#define SCHEDCP_TARGETS_BPF_H

#include "schedcp/cgroups.bpf.h"
#include "schedcp/classes.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CGROUP_ENTRIES_MAX);
	__type(key, u64);
	__type(value, u64);
} target_cgroups SEC(".maps");

/* Note whether the cgroup that a task is in now, or one above it, is listed. */
static __always_inline void target_look(struct cgroup *cgroup, struct task_ctx *tctx)
{
	tctx->target = cgroup_value_at(cgroup, &target_cgroups) != 0;
}

#endif
