/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Classes of tasks: what is known of each task and of what runs on each CPU, how much of a CPU a
 * class may take ahead of others, and preemption of classes below.
 *
 * Classes are numbered from 0, the first to be served. Composed schedulers include this, one
 * topology, and what else they need; they say themselves which class a task is in.
 */
#ifndef SCHEDCP_CLASSES_BPF_H
#define SCHEDCP_CLASSES_BPF_H

#include "schedcp/behaviour.bpf.h"
#include "schedcp/queues.bpf.h"

enum class_consts {
	CLASSES_MAX = 3,
	NICE_0_PRIO = 120, /* p->static_prio of nice 0 */
};

/* The window in which a class's share of a CPU is counted. */
#define CAP_WINDOW_NS (100 * (u64)NSEC_PER_MSEC)

struct task_ctx {
	struct behaviour behaviour;
	u64 attained_ns; /* CPU time of its present job */
	u32 class;	 /* when it got the CPU */
	u32 clocked;	 /* class + 1 by whose clock its virtual time counts; 0: none */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

struct cpu_ctx {
	u32 running;   /* class + 1 of who runs, or was promised the CPU; 0: nobody to preempt */
	u64 since;     /* when it began to run */
	u64 window_at; /* start of the window that `used_ns` counts in */
	u64 used_ns[CLASSES_MAX];
	u64 vtime[CLASSES_MAX]; /* what each class was given, divided by its weight */
	u64 furthest;		/* the most of these */
	u64 clock;		/* virtual time of the tasks that may run here only */
	u64 home_clock;		/* of those who wait at the home that begins with this CPU */
	bool bound_last;	/* whether it was the turn of one of those */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_ctx);
} cpu_ctxs SEC(".maps");

static __always_inline struct task_ctx *task_ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&task_ctxs, p, 0, 0);
}

static __always_inline struct cpu_ctx *cpu_ctx_of(s32 cpu)
{
	u32 zero = 0;

	return bpf_map_lookup_percpu_elem(&cpu_ctxs, &zero, cpu);
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
	/* A kernel thread is no victim. */
	cctx->running = is_kthread(p) ? 0 : class + 1;
}

static __always_inline void cap_window(struct cpu_ctx *cctx)
{
	u64 now = bpf_ktime_get_ns();
	u32 i;

	if (now - cctx->window_at <= CAP_WINDOW_NS)
		return;
	cctx->window_at = now;
	for (i = 0; i < CLASSES_MAX; i++)
		cctx->used_ns[i] = 0;
}

/* Charge the time since class_running() and return it. */
static __always_inline u64 class_stopping(struct task_struct *p, struct wait_ctx *wait,
					  struct task_ctx *tctx, struct cpu_ctx *cctx)
{
	u64 used = wait_stopping(wait, p);
	u32 class = tctx->class;

	behaviour_ran(&tctx->behaviour, used);
	tctx->attained_ns += used;
	cap_window(cctx);
	if (class < CLASSES_MAX)
		cctx->used_ns[class] += used;
	cctx->running = 0;
	return used;
}

/* Whether a class has had its share of this CPU, so that it no longer goes ahead of others. */
static __always_inline bool over_cap(struct cpu_ctx *cctx, u32 class, u32 percent)
{
	cap_window(cctx);
	return cctx->used_ns[class] * PERCENT > CAP_WINDOW_NS * percent;
}

/*
 * Promise the CPU to one task of `class` if a class below runs there and has had `least_ns`: two
 * wakers never share a victim.
 */
static __always_inline bool cpu_claim(s32 cpu, u32 class, u64 least_ns, u32 percent)
{
	struct cpu_ctx *cctx = cpu_ctx_of(cpu);
	u32 running;

	if (!cctx)
		return false;
	running = cctx->running;
	return running > class + 1 && bpf_ktime_get_ns() - cctx->since >= least_ns &&
	       !over_cap(cctx, class, percent) &&
	       __sync_bool_compare_and_swap(&cctx->running, running, class + 1);
}

/* A CPU to preempt, the nearest by number; negative when there is none. */
static __always_inline s32 victim_claim(const struct task_struct *p, s32 prev_cpu, u32 class,
					u64 least_ns, u32 percent)
{
	s32 cpus = scx_bpf_nr_cpu_ids(), step;

	bpf_for (step, 0, cpus) {
		s32 cpu = (prev_cpu + step) % (cpus ?: 1);

		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr) &&
		    cpu_claim(cpu, class, least_ns, percent))
			return cpu;
	}
	return -1;
}

/* Tasks of one CPU are never offered to ops.select_cpu, so that they may have to preempt later. */
static __always_inline bool woken_here(const struct task_struct *p, u64 enq_flags)
{
	return is_pinned(p) && (enq_flags & SCX_ENQ_WAKEUP);
}

/* The CPU that the task is about to be put on was claimed for it. */
static __always_inline void preempt_insert(struct task_struct *p, u64 slice_ns)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, SCX_ENQ_PREEMPT);
	STAT_INC(preemptions);
}

#endif
