/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Expected run times: user space lists cgroups in `expected_runtime` with the CPU time, in
 * nanoseconds, that a job there took in earlier profiles.
 */
#ifndef SCHEDCP_EXPECTATIONS_BPF_H
#define SCHEDCP_EXPECTATIONS_BPF_H

#include "schedcp/cgroups.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CGROUP_ENTRIES_MAX);
	__type(key, u64);
	__type(value, u64);
} expected_runtime SEC(".maps");

/* What is listed for this cgroup, or the nearest above it; 0: nothing. */
static __always_inline u64 expected_in(struct cgroup *cgroup)
{
	return cgroup_value(cgroup, &expected_runtime);
}

/*
 * Work left: what is listed less what was attained. Where nothing is listed, or more was attained
 * than expected, what was attained: who has run long is likely to run long yet.
 */
static __always_inline u64 work_left(const struct task_struct *p, u64 attained_ns)
{
	u64 expected_ns = expected_in(cgroup_of(p));

	return expected_ns > attained_ns ? expected_ns - attained_ns : attained_ns;
}

#endif
