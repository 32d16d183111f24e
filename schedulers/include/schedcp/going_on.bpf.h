/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The running task goes on while it comes before all who wait. ops.dispatch is called before it is
 * queued again: without this, whoever waits is next, however much less it deserves the CPU, and
 * weights and shares show only where many wait.
 */
#ifndef SCHEDCP_GOING_ON_BPF_H
#define SCHEDCP_GOING_ON_BPF_H

#include "schedcp/class_queues.bpf.h"
#include "schedcp/slices.bpf.h"

/* For classes by the tasks' virtual time with one queue for all CPUs. */
static __always_inline bool goes_on(struct task_struct *prev, u32 class, u64 slice_ns)
{
	struct wait_ctx *wait;
	struct task_ctx *tctx;
	u64 head, used;

	if (!wants_on(prev) || is_pinned(prev))
		return false;
	wait = wait_ctx_of(prev);
	tctx = task_ctx_of(prev);
	if (!wait || !tctx || tctx->class != class || tctx->clocked != class + 1)
		return false;
	used = used_since(wait);
	if (!dsq_head_order(class_dsq(class, 0), &head) ||
	    !vtime_before(wait->vtime + by_weight(prev, used), head))
		return false;
	slice_renew(prev, slice_ns);
	return true;
}

/* It is the turn of `class`, of which nobody waits: whoever of it ran until now goes on. */
static __always_inline bool stays(struct task_struct *prev, u32 class, u64 slice_ns)
{
	struct task_ctx *tctx;

	if (!wants_on(prev) || is_pinned(prev))
		return false;
	tctx = task_ctx_of(prev);
	if (!tctx || tctx->class != class)
		return false;
	slice_renew(prev, slice_ns);
	return true;
}

#endif
