/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Order by virtual time: CPU time divided by the part of the machine that a task deserves, which
 * its cgroups' weights and its own say. Include it after the knobs, instead of the clocks of tasks'
 * weights. The time is charged by group_limits.bpf.h.
 */
#ifndef SCHEDCP_GROUP_ORDER_BPF_H
#define SCHEDCP_GROUP_ORDER_BPF_H

#include "schedcp/group_tree.bpf.h"
#include "schedcp/queues.bpf.h"

/* Who never sleeps is no further behind the clock, times the number of CPUs. */
#define GROUP_LAG_NS (2 * (u64)NSEC_PER_SEC)

/* Nobody is further ahead of the clock than this many slices are worth to it. */
#define GROUP_DEBT_SLICES 4

/* A share is never zero that is not: one part in SHARE_ONE more does not matter. */
static __always_inline u64 by_share(u64 share, u64 ns)
{
	return ns * SHARE_ONE / (share | 1);
}

/*
 * The task's virtual time. All CPUs together make the clock advance, so that what a sleeper keeps,
 * one slice, is counted for each of them. Who never sleeps keeps more: tasks of one CPU are slower
 * than those that may run anywhere, and have an order among them all the same.
 */
static __always_inline u64 group_order(struct wait_ctx *wait, const struct group_member *member,
				       u64 slice_ns, u64 enq_flags)
{
	u64 lag = (enq_flags & SCX_ENQ_WAKEUP ? slice_ns : GROUP_LAG_NS) * scx_bpf_nr_cpu_ids();
	u64 debt = by_share(member->share, slice_ns * GROUP_DEBT_SLICES);

	if (vtime_before(wait->vtime, vtime_now - lag))
		wait->vtime = vtime_now - lag;
	if (vtime_before(vtime_now + debt, wait->vtime))
		wait->vtime = vtime_now + debt;
	return wait->vtime;
}

/*
 * Call it from ops.running. The clock is that of who is next in order, which nobody is who did not
 * wait, or waited too long.
 */
static __always_inline void group_running(struct wait_ctx *wait, struct group_member *member)
{
	u64 now = bpf_ktime_get_ns(), queued_at = wait->queued_at;

	wait->running_at = now;
	wait->queued_at = 0;
	member->at_once = !queued_at;
	if (vtime_before(now, queued_at + ageing_ns) && vtime_before(vtime_now, wait->vtime))
		vtime_now = wait->vtime;
}

/* Kernels without it let the field be written. */
bool scx_bpf_task_set_slice(struct task_struct *p, u64 slice) __ksym __weak;

static __always_inline void slice_set(struct task_struct *p, u64 slice_ns)
{
	if (bpf_ksym_exists(scx_bpf_task_set_slice))
		scx_bpf_task_set_slice(p, slice_ns);
	else
		p->scx.slice = slice_ns;
}

/* Say whether the running task comes before all who wait in `dsq`. */
static __always_inline bool goes_before(const struct wait_ctx *wait, u64 share, u64 dsq, u64 now)
{
	u64 order = wait->vtime + by_share(share, now - wait->running_at), head;

	return !dsq_head_order(dsq, &head) || vtime_before(order, head);
}

#endif
