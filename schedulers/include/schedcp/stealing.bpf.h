/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Between homes: a CPU with nothing to do takes from others, the near ones first, and one with less
 * to do helps where somebody has waited for long. Include a topology with homes first.
 */
#ifndef SCHEDCP_STEALING_BPF_H
#define SCHEDCP_STEALING_BPF_H

#include "schedcp/class_queues.bpf.h"

static __always_inline bool same_node(s32 cpu, s32 other)
{
	return !bpf_ksym_exists(scx_bpf_cpu_node) ||
	       scx_bpf_cpu_node(cpu) == scx_bpf_cpu_node(other);
}

/* Take from the other homes: from those near the CPU in a first round, then from any. */
static __always_inline bool class_steal(u32 class, s32 cpu, bool (*near)(s32 cpu, s32 other))
{
	s32 cpus = scx_bpf_nr_cpu_ids(), step;

	bpf_for (step, 1, 2 * cpus) {
		s32 home = (cpu + step) % (cpus ?: 1);

		if (step < cpus && !near(cpu, home))
			continue;
		if (scx_bpf_dsq_move_to_local(class_dsq(class, home)))
			return true;
	}
	return false;
}

/* For how long the next one of a queue has waited. */
static __always_inline u64 dsq_head_waited(u64 dsq, u64 now)
{
	struct task_struct *p;

	bpf_for_each (scx_dsq, p, dsq, 0) {
		struct wait_ctx *wait = wait_ctx_of(p);

		return wait && wait->queued_at && now > wait->queued_at ? now - wait->queued_at : 0;
	}
	return 0;
}

/*
 * Take from another home, each time period from a different one, where the next one has waited for
 * `patience_ns` and more tasks wait than here.
 */
static __always_inline bool class_relieve(u32 class, s32 cpu, u64 patience_ns)
{
	u64 now = bpf_ktime_get_ns();
	u64 here = class_dsq(class, home_of(cpu));
	u64 there = class_dsq(class, home_of(home_to_scan(cpu, now)));

	return scx_bpf_dsq_nr_queued(there) > scx_bpf_dsq_nr_queued(here) &&
	       dsq_head_waited(there, now) >= patience_ns && scx_bpf_dsq_move_to_local(there);
}

/* An idle CPU for the task, reserved: the one before, or another one of its home; or negative. */
static __always_inline s32 idle_at_home(const struct task_struct *p, s32 prev_cpu)
{
	s32 home = home_of(prev_cpu), cpus = scx_bpf_nr_cpu_ids(), step;

	bpf_for (step, 0, cpus) {
		s32 cpu = (prev_cpu + step) % (cpus ?: 1);

		if (home_of(cpu) == home && bpf_cpumask_test_cpu(cpu, p->cpus_ptr) &&
		    scx_bpf_test_and_clear_cpu_idle(cpu))
			return cpu;
	}
	return -1;
}

/* Queue a task at its home, and wake a CPU that is idle: one of the home, if there is one. */
static __always_inline void home_insert(struct task_struct *p, struct wait_ctx *wait, u32 class,
					u64 slice_ns, u64 order, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p), idle;

	ordered_insert(p, wait, class_dsq(class, home_of(cpu)), slice_ns, order, enq_flags);
	STAT_INC(shared_dispatches);
	idle = idle_at_home(p, cpu);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
	else
		kick_idle_for(p, enq_flags);
}

#endif
