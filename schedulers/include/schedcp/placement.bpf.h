/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a waking task goes: to a CPU that is idle, or to one that was claimed for it. Who picks an
 * idle CPU returns it for ops.select_cpu; where it says that the CPU is idle it has been reserved,
 * and the task belongs on its local queue.
 */
#ifndef SCHEDCP_PLACEMENT_BPF_H
#define SCHEDCP_PLACEMENT_BPF_H

#include "schedcp/common.bpf.h"

/* An idle CPU near the one before, as the kernel picks it: its core, its cache, its node. */
static __always_inline s32 idle_sibling(struct task_struct *p, s32 prev_cpu, u64 wake_flags,
					bool *is_idle)
{
	return scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags & ~(u64)SCX_WAKE_SYNC, is_idle);
}

/* The same, but the waker's own CPU when it is about to sleep and nobody waits there. */
static __always_inline s32 sync_waker(struct task_struct *p, s32 prev_cpu, u64 wake_flags,
				      bool *is_idle)
{
	return scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, is_idle);
}

/* The CPU before, whose cache is warm, or none. */
static __always_inline s32 previous_cpu(struct task_struct *p, s32 prev_cpu, u64 wake_flags,
					bool *is_idle)
{
	if (!bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr))
		return idle_sibling(p, prev_cpu, wake_flags, is_idle);
	*is_idle = scx_bpf_test_and_clear_cpu_idle(prev_cpu);
	return prev_cpu;
}

/* Any CPU that is idle, wherever it is. */
static __always_inline s32 any_idle(struct task_struct *p, s32 prev_cpu, u64 wake_flags,
				    bool *is_idle)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	*is_idle = cpu >= 0;
	return cpu >= 0 ? cpu : prev_cpu;
}

static __always_inline void idle_insert(struct task_struct *p, u64 slice_ns)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	STAT_INC(idle_dispatches);
}

/* The CPU that the task is about to be put on was claimed for it. */
static __always_inline void preempt_insert(struct task_struct *p, u64 slice_ns)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, SCX_ENQ_PREEMPT);
	STAT_INC(preemptions);
}

#endif
