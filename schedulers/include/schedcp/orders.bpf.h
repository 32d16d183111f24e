/* SPDX-License-Identifier: GPL-2.0 */
/*
 * In which order the tasks of a class run: the smallest number first. Orders that do not move with
 * time are bounded by ageing.
 */
#ifndef SCHEDCP_ORDERS_BPF_H
#define SCHEDCP_ORDERS_BPF_H

#include "schedcp/clocks.bpf.h"

/* Orders count down from here, so that more work sorts first; far from wrapping round. */
#define ORDER_BASE (1ULL << 62)
/* More work than this sorts alike: twelve days. */
#define WORK_MAX_NS (1ULL << 50)
/* Real time, so that nobody can starve: a short burst, or more weight, brings it forward. */
static __always_inline u64 deadline_order(const struct task_struct *p, const struct task_ctx *tctx,
					  u64 budget_ns)
{
	u64 ahead = by_weight(p, tctx->behaviour.average_burst_ns);

	return bpf_ktime_get_ns() + (ahead < budget_ns ? ahead : budget_ns);
}

/* Call it from ops.runnable, before behaviour_wake(): a sleep this long ends a job. */
static __always_inline void job_wake(struct task_ctx *tctx, u64 gap_ns)
{
	u64 slept_at = tctx->behaviour.slept_at;

	if (slept_at && vtime_before(slept_at + gap_ns, bpf_ktime_get_ns()))
		tctx->attained_ns = 0;
}

static __always_inline u64 bounded_work(u64 work_ns)
{
	return work_ns < WORK_MAX_NS ? work_ns : WORK_MAX_NS;
}

static __always_inline u64 shortest_order(const struct task_struct *p, u64 work_ns)
{
	return by_weight(p, bounded_work(work_ns));
}

static __always_inline u64 longest_order(const struct task_struct *p, u64 work_ns)
{
	return ORDER_BASE - bounded_work(work_ns) * p->scx.weight / WEIGHT_DEFAULT;
}

#endif
