/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Ordered queues that cannot starve: what each task waits for, a virtual clock with bounded
 * credit, and ageing, which moves a task that has waited too long ahead of any order.
 *
 * A scheduler includes this after its knobs and keeps its own state in another task storage.
 */
#ifndef SCHEDCP_QUEUES_BPF_H
#define SCHEDCP_QUEUES_BPF_H

#include "schedcp/common.bpf.h"

/* A scheduler may define its own default before it includes this. */
#ifndef AGEING_NS
#define AGEING_NS (1 * (u64)NSEC_PER_SEC)
#endif

/* A task that has waited this long runs before all others, whatever its weight or class. */
const volatile u64 ageing_ns = AGEING_NS;

enum ageing_consts {
	AGEING_SCANS = 8,	 /* looks in one ageing_ns */
	AGEING_SCAN_TASKS = 256, /* from one end of a queue */
};

struct wait_ctx {
	u64 queued_at; /* when it began to wait for a CPU; 0: it does not */
	u64 running_at;
	u64 vtime;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct wait_ctx);
} wait_ctxs SEC(".maps");

struct ageing_ctx {
	u64 scan_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ageing_ctx);
} ageing_ctxs SEC(".maps");

/* The virtual time of the task that ran furthest: CPU time divided by weight. */
u64 vtime_now;

static __always_inline struct wait_ctx *wait_ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&wait_ctxs, p, 0, 0);
}

/*
 * Call it from a sleepable ops.init_task, where memory is waited for: failing to remember a task
 * fails its fork, as for the kernel.
 */
static __always_inline s32 wait_ctx_create(struct task_struct *p)
{
	struct wait_ctx *wait =
		bpf_task_storage_get(&wait_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!wait)
		return -NO_MEMORY;
	wait->vtime = vtime_now;
	return 0;
}

/* A sleeper may not bank more than `credit_ns` of virtual time. */
static __always_inline void vtime_clamp(struct wait_ctx *wait, u64 credit_ns)
{
	if (vtime_before(wait->vtime, vtime_now - credit_ns))
		wait->vtime = vtime_now - credit_ns;
}

static __always_inline void wait_running(struct wait_ctx *wait)
{
	wait->running_at = bpf_ktime_get_ns();
	wait->queued_at = 0;
	if (vtime_before(vtime_now, wait->vtime))
		vtime_now = wait->vtime;
}

/* Charge the time since wait_running() and return it. */
static __always_inline u64 wait_stopping(struct wait_ctx *wait, const struct task_struct *p)
{
	u64 now = bpf_ktime_get_ns();
	u64 used = now > wait->running_at ? now - wait->running_at : 0;

	wait->vtime += used * WEIGHT_DEFAULT / (p->scx.weight ?: 1);
	wait->running_at = now;
	return used;
}

static __always_inline void ordered_insert(struct task_struct *p, struct wait_ctx *wait, u64 dsq,
					   u64 slice_ns, u64 order, u64 enq_flags)
{
	/* Who is queued again without having run (a real-time task came between) keeps its age. */
	if (!wait->queued_at)
		wait->queued_at = bpf_ktime_get_ns();
	scx_bpf_dsq_insert_vtime(p, dsq, slice_ns, order, enq_flags);
}

/*
 * Queue a task of one CPU before everybody else there. Not into the CPU's local queue, though: a
 * real-time task that keeps taking the CPU would have it queued again and again, and the kernel
 * ejects a scheduler for that (kind 1027).
 */
static __always_inline void first_insert(struct task_struct *p, s32 cpu, u64 slice_ns,
					 u64 enq_flags)
{
	scx_bpf_dsq_insert(p, first_dsq(cpu), slice_ns, enq_flags);
	scx_bpf_kick_cpu(cpu, enq_flags & SCX_ENQ_WAKEUP ? SCX_KICK_PREEMPT : SCX_KICK_IDLE);
	STAT_INC(pinned_dispatches);
}

/*
 * Queue a task that only one CPU may run. Kernel threads keep the machine alive: they wait for
 * nobody's order, and a waking one takes the CPU from whoever runs there.
 */
static __always_inline void pinned_insert(struct task_struct *p, struct wait_ctx *wait, s32 cpu,
					  u64 slice_ns, u64 order, u64 enq_flags)
{
	if (is_kthread(p)) {
		first_insert(p, cpu, slice_ns, enq_flags);
		return;
	}
	ordered_insert(p, wait, pinned_dsq(cpu), slice_ns, order, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	STAT_INC(pinned_dispatches);
}

/*
 * Move those who have waited too long to `first`, a queue in FIFO order. With SCX_DSQ_ITER_REV look
 * from the tail of `dsq`, else from its head, where the oldest are when newcomers sort last.
 */
static __always_inline void dsq_age_from(u64 dsq, u64 first, u64 now, u64 iter_flags)
{
	struct task_struct *p;
	u32 looked = 0;

	bpf_for_each (scx_dsq, p, dsq, iter_flags) {
		struct wait_ctx *wait = wait_ctx_of(p);

		if (wait && vtime_before(wait->queued_at + ageing_ns, now) &&
		    scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, first, 0))
			STAT_INC(aged_dispatches);
		if (++looked >= AGEING_SCAN_TASKS)
			break;
	}
}

/*
 * Who is never first waits at the tail. Where an order does not move with time, equals may come
 * after it without end, so that it is nearer to the head.
 */
static __always_inline void dsq_age(u64 dsq, u64 first, u64 now)
{
	dsq_age_from(dsq, first, now, SCX_DSQ_ITER_REV);
	dsq_age_from(dsq, first, now, 0);
}

/* Call it first in ops.dispatch. Each CPU looks after the shared queue and its own. */
static __always_inline void queues_age(s32 cpu)
{
	u32 zero = 0;
	struct ageing_ctx *ageing = bpf_map_lookup_elem(&ageing_ctxs, &zero);
	u64 now = bpf_ktime_get_ns();

	if (!ageing || now < ageing->scan_at)
		return;
	ageing->scan_at = now + ageing_ns / AGEING_SCANS;
	dsq_age(SHARED_DSQ, AGED_DSQ, now);
	dsq_age(pinned_dsq(cpu), first_dsq(cpu), now);
}

static __always_inline bool dsq_head_order(u64 dsq, u64 *order)
{
	struct task_struct *p;

	bpf_for_each (scx_dsq, p, dsq, 0) {
		*order = p->scx.dsq_vtime;
		return true;
	}
	return false;
}

/* The order of whoever is next on this CPU: in the shared queue, or in its own. False: nobody. */
static __always_inline bool next_order(s32 cpu, u64 *order)
{
	u64 pinned = 0;
	bool found = dsq_head_order(SHARED_DSQ, order);

	if (!dsq_head_order(pinned_dsq(cpu), &pinned))
		return found;
	if (!found || vtime_before(pinned, *order))
		*order = pinned;
	return true;
}

/*
 * Run whichever comes first in order: the head of the shared queue or that of the CPU's own, so
 * that a task bound to this CPU competes with all others on equal terms.
 */
static __always_inline bool ordered_move_to_local(s32 cpu)
{
	u64 shared, pinned;

	if (dsq_head_order(pinned_dsq(cpu), &pinned) &&
	    (!dsq_head_order(SHARED_DSQ, &shared) || vtime_before(pinned, shared)) &&
	    scx_bpf_dsq_move_to_local(pinned_dsq(cpu)))
		return true;
	return scx_bpf_dsq_move_to_local(SHARED_DSQ) || scx_bpf_dsq_move_to_local(pinned_dsq(cpu));
}

/* Run who goes before any order: this CPU's kernel threads, and whoever waited too long. */
static __always_inline bool first_move_to_local(s32 cpu)
{
	return scx_bpf_dsq_move_to_local(first_dsq(cpu)) || scx_bpf_dsq_move_to_local(AGED_DSQ);
}

/* Create the shared, the aged and the CPUs' own queues. Call it from ops.init. */
static __always_inline s32 queues_create(void)
{
	s32 err = scx_bpf_create_dsq(SHARED_DSQ, -1);

	if (err)
		return err;
	err = scx_bpf_create_dsq(AGED_DSQ, -1);
	return err ?: pinned_dsqs_create();
}

#endif
