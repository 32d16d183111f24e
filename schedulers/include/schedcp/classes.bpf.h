/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Classes of tasks: what is known of each task, and what is charged for it to its CPU.
 *
 * Composed schedulers include this, one topology, and what else they need; they say themselves
 * which class a task is in.
 */
#ifndef SCHEDCP_CLASSES_BPF_H
#define SCHEDCP_CLASSES_BPF_H

#include "schedcp/cpus.bpf.h"
#include "schedcp/queues.bpf.h"

enum class_consts {
	NICE_0_PRIO = 120, /* p->static_prio of nice 0 */
};

struct task_ctx {
	struct behaviour behaviour;
	u64 attained_ns;  /* CPU time of its present job */
	u64 expected_ns;  /* what is listed for its cgroup; 0: nothing */
	u64 deferred_ns;  /* what its cgroup is to be charged when it stops */
	u32 group_weight; /* cpu.weight of its cgroup */
	bool target;	  /* whether its cgroup is listed */
	u32 class;	  /* when it got the CPU */
	u32 clocked;	  /* class + 1 by whose clock its virtual time counts; 0: none */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

static __always_inline struct task_ctx *task_ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&task_ctxs, p, 0, 0);
}

/* Call it from a sleepable ops.init_task. */
static __always_inline s32 class_ctx_create(struct task_struct *p)
{
	struct task_ctx *tctx =
		bpf_task_storage_get(&task_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tctx)
		return -NO_MEMORY;
	behaviour_start(&tctx->behaviour);
	return wait_ctx_create(p);
}

static __always_inline s32 nice_of(const struct task_struct *p)
{
	return p->static_prio - NICE_0_PRIO;
}

static __always_inline u32 threads_of(const struct task_struct *p)
{
	return BPF_CORE_READ(p, signal, nr_threads);
}

/* For how long the task has existed. */
static __always_inline u64 age_of(const struct task_struct *p)
{
	return bpf_ktime_get_ns() - p->start_time;
}

/* The same of the parent of its process. */
static __always_inline u64 parent_age_of(const struct task_struct *p)
{
	return bpf_ktime_get_ns() - BPF_CORE_READ(p, real_parent, start_time);
}

/* How often a second the task wakes, as its average burst and sleep say; 0: it never slept. */
static __always_inline u64 wakeups_of(const struct task_ctx *tctx)
{
	u64 cycle = tctx->behaviour.average_sleep_ns + tctx->behaviour.average_burst_ns;

	return tctx->behaviour.average_sleep_ns ? NSEC_PER_SEC / (cycle ?: 1) : 0;
}

static __always_inline void class_running(struct task_struct *p, struct wait_ctx *wait,
					  struct task_ctx *tctx, struct cpu_ctx *cctx, u32 class)
{
	wait_running(wait);
	tctx->class = class;
	cctx->since = wait->running_at;
	cpu_runs(cctx, p, class);
}

/* Charge the time since class_running() and return it. */
static __always_inline u64 class_stopping(struct task_struct *p, struct wait_ctx *wait,
					  struct task_ctx *tctx, struct cpu_ctx *cctx)
{
	u64 used = wait_stopping(wait, p);

	behaviour_ran(&tctx->behaviour, used);
	tctx->attained_ns += used;
	cap_charge(cctx, tctx->class, used);
	cctx->running = 0;
	return used;
}

/* Tasks of one CPU are never offered to ops.select_cpu, so that they may have to preempt later. */
static __always_inline bool woken_here(const struct task_struct *p, u64 enq_flags)
{
	return is_pinned(p) && (enq_flags & SCX_ENQ_WAKEUP);
}

#endif
