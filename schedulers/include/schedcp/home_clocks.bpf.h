/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A clock of virtual time for each home (a cache, or a CPU), so that weights hold within one
 * however less crowded others are. Who comes to another home keeps its distance from the clock.
 * Include a topology with homes first.
 */
#ifndef SCHEDCP_HOME_CLOCKS_BPF_H
#define SCHEDCP_HOME_CLOCKS_BPF_H

#include "schedcp/class_queues.bpf.h"
#include "schedcp/slices.bpf.h"

enum home_clock_consts {
	HOME_CLOCK_BASE = 0x100, /* beyond the classes by whose clocks tasks may count as well */
};

/* The task's virtual time at a home, at most `credit_ns` behind the clock there. */
static __always_inline u64 home_order(struct wait_ctx *wait, struct task_ctx *tctx, s32 home,
				      u64 credit_ns)
{
	struct cpu_ctx *here = cpu_ctx_of(home), *before;
	u32 clock_id = HOME_CLOCK_BASE + (u32)home;
	u64 clock = here ? here->home_clock : 0;

	if (tctx->clocked > HOME_CLOCK_BASE && tctx->clocked != clock_id + 1) {
		before = cpu_ctx_of((s32)(tctx->clocked - 1 - HOME_CLOCK_BASE));
		if (before) {
			wait->vtime += clock - before->home_clock;
			tctx->clocked = clock_id + 1;
		}
	}
	return vtime_order(wait, tctx, clock_id, clock, credit_ns);
}

/* Call it from ops.running, for tasks that are not bound to the CPU. */
static __always_inline void home_running(struct wait_ctx *wait, struct task_ctx *tctx, s32 home,
					 u64 credit_ns)
{
	struct cpu_ctx *here = cpu_ctx_of(home);

	home_order(wait, tctx, home, credit_ns);
	if (here)
		clock_advance(&here->home_clock, wait, tctx, HOME_CLOCK_BASE + (u32)home);
}

/*
 * The running task goes on while it is not more than `lead_ns` of virtual time ahead of the next
 * one of its class at its home. A lead saves switches, and costs whoever waits as much.
 */
static __always_inline bool goes_on_at_home(struct task_struct *prev, u32 class, s32 home,
					    u64 lead_ns, u64 slice_ns)
{
	struct wait_ctx *wait;
	struct task_ctx *tctx;
	u64 head = 0, order;

	if (!wants_on(prev) || is_pinned(prev))
		return false;
	wait = wait_ctx_of(prev);
	tctx = task_ctx_of(prev);
	if (!wait || !tctx || tctx->class != class ||
	    tctx->clocked != HOME_CLOCK_BASE + (u32)home + 1)
		return false;
	order = wait->vtime + by_weight(prev, used_since(wait));
	if (!dsq_head_order(class_dsq(class, home), &head) || !vtime_before(order, head + lead_ns))
		return false;
	slice_renew(prev, slice_ns);
	return true;
}

#endif
