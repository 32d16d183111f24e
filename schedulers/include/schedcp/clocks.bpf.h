/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Clocks of virtual time: CPU time divided by weight, counted for each class, and on each CPU for
 * the tasks that may run nowhere else. Credit and debt are bounded.
 */
#ifndef SCHEDCP_CLOCKS_BPF_H
#define SCHEDCP_CLOCKS_BPF_H

#include "schedcp/classes.bpf.h"

/* Nobody is further ahead of a clock, whatever its weight. */
#define VTIME_DEBT_NS (2 * (u64)NSEC_PER_SEC)

static __always_inline u64 by_weight(const struct task_struct *p, u64 ns)
{
	return ns * WEIGHT_DEFAULT / (p->scx.weight ?: 1);
}

/* The task's virtual time, at most `credit_ns` behind the clock, which it begins with. */
static __always_inline u64 vtime_order(struct wait_ctx *wait, struct task_ctx *tctx, u32 class,
				       u64 clock, u64 credit_ns)
{
	if (tctx->clocked != class + 1) {
		tctx->clocked = class + 1;
		wait->vtime = clock;
	}
	if (vtime_before(wait->vtime, clock - credit_ns))
		wait->vtime = clock - credit_ns;
	if (vtime_before(clock + VTIME_DEBT_NS, wait->vtime))
		wait->vtime = clock + VTIME_DEBT_NS;
	return wait->vtime;
}

/* Call it from ops.running: a clock is the virtual time of who ran furthest. */
static __always_inline void clock_advance(u64 *clock, const struct wait_ctx *wait,
					  const struct task_ctx *tctx, u32 class)
{
	if (tctx->clocked == class + 1 && vtime_before(*clock, wait->vtime))
		*clock = wait->vtime;
}

#endif
