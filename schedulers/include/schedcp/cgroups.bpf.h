/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What user space knows about cgroups. An entry holds for the cgroup and all below it, so that a
 * pod's id covers its containers; the nearest entry wins.
 */
#ifndef SCHEDCP_CGROUPS_BPF_H
#define SCHEDCP_CGROUPS_BPF_H

#include "schedcp/common.bpf.h"

enum cgroup_consts {
	CGROUP_LEVELS_MAX = 16,
	CGROUP_ENTRIES_MAX = 4096,
};

/* The value for the nearest listed cgroup, from this one up, or 0. */
static __always_inline u64 cgroup_value(struct cgroup *cgroup, void *map)
{
	s32 level = BPF_CORE_READ(cgroup, level), above;

	bpf_for (above, 0, CGROUP_LEVELS_MAX) {
		struct cgroup *ancestor = NULL;
		u64 id, *value;

		if (above > level)
			break;
		if (bpf_probe_read_kernel(&ancestor, sizeof(ancestor),
					  &cgroup->ancestors[level - above]) ||
		    !ancestor)
			break;
		id = BPF_CORE_READ(ancestor, kn, id);
		value = bpf_map_lookup_elem(map, &id);
		if (value)
			return *value;
	}
	return 0;
}

static __always_inline struct cgroup *cgroup_of(const struct task_struct *p)
{
	return BPF_CORE_READ(p, cgroups, dfl_cgrp);
}

#endif
