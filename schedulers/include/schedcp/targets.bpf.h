/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Target cgroups: user space lists those of its policy's pods in `target_cgroups`.
 */
#ifndef SCHEDCP_TARGETS_BPF_H
#define SCHEDCP_TARGETS_BPF_H

#include "schedcp/cgroups.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CGROUP_ENTRIES_MAX);
	__type(key, u64);
	__type(value, u64);
} target_cgroups SEC(".maps");

/* Whether this cgroup, or one above it, is listed. */
static __always_inline bool is_target(struct cgroup *cgroup)
{
	return cgroup_value(cgroup, &target_cgroups) != 0;
}

#endif
