/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Expected run times: user space lists cgroups in `expected_runtime` with the CPU time, in
 * nanoseconds, that a job there took in earlier profiles.
 */
#ifndef SCHEDCP_EXPECTATIONS_BPF_H
#define SCHEDCP_EXPECTATIONS_BPF_H

#include "schedcp/cgroups.bpf.h"
#include "schedcp/classes.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CGROUP_ENTRIES_MAX);
	__type(key, u64);
	__type(value, u64);
} expected_runtime SEC(".maps");

/* Note what is listed for the cgroup that a task is in now. */
static __always_inline void expectation_look(struct cgroup *cgroup, struct task_ctx *tctx)
{
	tctx->expected_ns = cgroup_value_at(cgroup, &expected_runtime);
}

/*
 * Work left: what is listed less what was attained. Where nothing is listed, or more was attained
 * than expected, what was attained: who has run long is likely to run long yet.
 */
static __always_inline u64 work_left(const struct task_struct *p, const struct task_ctx *tctx)
{
	u64 expected = cgroup_value(p, &expected_runtime), attained = tctx->attained_ns;

	return expected > attained ? expected - attained : attained;
}

#endif
