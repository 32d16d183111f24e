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

#define GROUP_USED_MAX_NS (8 * (u64)NSEC_PER_SEC) /* more at once counts as this */

/* Nobody is further ahead of the clock, whatever its share; times the number of CPUs. */
#define GROUP_DEBT_NS (2 * (u64)NSEC_PER_SEC)

static __always_inline u64 by_share(u64 share, u64 ns)
{
	return (ns < GROUP_USED_MAX_NS ? ns : GROUP_USED_MAX_NS) * SHARE_ONE / (share ?: 1);
}

/*
 * The task's virtual time. All CPUs together make the clock advance, so that what a sleeper keeps,
 * `credit_ns`, is counted for each of them.
 */
static __always_inline u64 group_order(struct wait_ctx *wait, u64 credit_ns)
{
	u64 cpus = scx_bpf_nr_cpu_ids();

	if (vtime_before(wait->vtime, vtime_now - credit_ns * cpus))
		wait->vtime = vtime_now - credit_ns * cpus;
	if (vtime_before(vtime_now + GROUP_DEBT_NS * cpus, wait->vtime))
		wait->vtime = vtime_now + GROUP_DEBT_NS * cpus;
	return wait->vtime;
}

/*
 * Call it from ops.running. The clock is that of who is next in order; whoever runs because it has
 * waited too long is far ahead of it.
 */
static __always_inline void group_running(struct wait_ctx *wait)
{
	u64 now = bpf_ktime_get_ns(), queued_at = wait->queued_at;

	wait->running_at = now;
	wait->queued_at = 0;
	if (queued_at && vtime_before(queued_at + ageing_ns, now))
		return;
	if (vtime_before(vtime_now, wait->vtime))
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

/*
 * Say whether the running task comes before all who wait in `dsq`. ops.dispatch is called before
 * it is queued again: without this whoever waits is next, however much less it deserves the CPU,
 * and weights show only where many wait.
 */
static __always_inline bool goes_before(const struct wait_ctx *wait, u64 share, u64 dsq)
{
	u64 used = bpf_ktime_get_ns() - wait->running_at, head;

	return !dsq_head_order(dsq, &head) ||
	       vtime_before(wait->vtime + by_share(share, used), head);
}

#endif
