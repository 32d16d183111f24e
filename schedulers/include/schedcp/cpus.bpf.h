/* SPDX-License-Identifier: GPL-2.0 */
/*
 * CPUs and classes of tasks: what runs on each CPU, how much of it a class may take ahead of
 * others, and preemption of classes below.
 *
 * Classes are numbered from 0, the first to be served. A scheduler says in ops.running with
 * cpu_runs() which class has the CPU, and in ops.stopping that none has.
 */
#ifndef SCHEDCP_CPUS_BPF_H
#define SCHEDCP_CPUS_BPF_H

#include "schedcp/behaviour.bpf.h"

enum cpu_consts {
	CLASSES_MAX = 3,
	BITS_PER_U64 = 64,
};

/* Of so much time of a CPU a class may have its share at once. */
#define CAP_WINDOW_NS (100 * (u64)NSEC_PER_MSEC)
/* What of too much is counted at most: who ran long because nobody else was there owes nothing. */
#define CAP_DEBT_NS (20 * (u64)NSEC_PER_MSEC)

struct cpu_ctx {
	u32 running; /* class + 1 of who runs, or was promised the CPU; 0: nobody to preempt */
	u64 since;   /* when it began to run */
	u64 used_ns[CLASSES_MAX];    /* of its share by each class, less what it has back */
	u64 asked_at[CLASSES_MAX];   /* when that was looked at last */
	u64 allowed_ns[CLASSES_MAX]; /* and how much it was to be at most */
	u64 vtime[CLASSES_MAX];	     /* what each class was given, divided by its weight */
	u64 furthest;		     /* the most of these */
	u64 clock;		     /* virtual time of the tasks that may run here only */
	u64 home_clock;		     /* of those who wait at the home that begins with this CPU */
	bool bound_last;	     /* whether it was the turn of one of those */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_ctx);
} cpu_ctxs SEC(".maps");

static __always_inline struct cpu_ctx *cpu_ctx_of(s32 cpu)
{
	u32 zero = 0;

	return bpf_map_lookup_percpu_elem(&cpu_ctxs, &zero, cpu);
}

/* A kernel thread is no victim, however long it runs. */
static __always_inline void cpu_runs(struct cpu_ctx *cctx, const struct task_struct *p, u32 class)
{
	cctx->running = is_kthread(p) ? 0 : class + 1;
}

/* All bits if `a` is less than `b`, and none if not: a branch would double the paths to analyse. */
static __always_inline u64 bits_if_less(u64 a, u64 b)
{
	u64 difference = a - b;

	barrier_var(difference);
	return (u64)((s64)difference >> (BITS_PER_U64 - 1));
}

/*
 * What a class has beyond its share, nobody who goes ahead of it wanted: that counts for nothing.
 * What the last one of its share ran too long does.
 */
static __always_inline void cap_charge(struct cpu_ctx *cctx, u32 class, u64 used_ns)
{
	u64 allowed_ns, charged_ns, most_ns;

	if (class >= CLASSES_MAX)
		return;
	allowed_ns = cctx->allowed_ns[class];
	most_ns = allowed_ns + CAP_DEBT_NS;
	charged_ns = cctx->used_ns[class];
	charged_ns += used_ns & bits_if_less(charged_ns, allowed_ns);
	charged_ns -= (charged_ns - most_ns) & bits_if_less(most_ns, charged_ns);
	cctx->used_ns[class] = charged_ns;
}

static __always_inline u64 cap_allowed(u32 percent)
{
	return CAP_WINDOW_NS * percent / PERCENT;
}

/* What a class has used of its share, less what it has back by now. */
static __always_inline u64 cap_used(const struct cpu_ctx *cctx, u32 class, u32 percent, u64 now)
{
	u64 again_ns = (now - cctx->asked_at[class]) * percent / PERCENT;
	u64 used_ns = cctx->used_ns[class];

	/* The CPU itself may have looked a moment later than another one's now. */
	again_ns &= bits_if_less(cctx->asked_at[class], now);
	return used_ns > again_ns ? used_ns - again_ns : 0;
}

/* ops.dispatch comes before ops.stopping: who ran until now was not charged yet. */
static __always_inline bool cap_reached(const struct cpu_ctx *cctx, u32 class, u32 percent,
					u64 used_ns, u64 now)
{
	used_ns += (now - cctx->since) & bits_if_less(cctx->running ^ (class + 1), 1);
	return used_ns >= cap_allowed(percent);
}

/*
 * Whether a class has had its share of this CPU, so that it no longer goes ahead of others. It may
 * have the share of a window at once, and has it back over time. Call it on the CPU itself, from
 * ops.dispatch: nobody else writes down what it has back.
 */
static __always_inline bool over_cap(struct cpu_ctx *cctx, u32 class, u32 percent)
{
	u64 now = bpf_ktime_get_ns(), used_ns = cap_used(cctx, class, percent, now);

	cctx->used_ns[class] = used_ns;
	cctx->asked_at[class] = now;
	cctx->allowed_ns[class] = cap_allowed(percent);
	return cap_reached(cctx, class, percent, used_ns, now);
}

/* The same of any CPU, as it stands. */
static __always_inline bool seems_over_cap(const struct cpu_ctx *cctx, u32 class, u32 percent)
{
	u64 now = bpf_ktime_get_ns();

	return cap_reached(cctx, class, percent, cap_used(cctx, class, percent, now), now);
}

/*
 * Promise the CPU to one task of `class`, up to its share of the CPU, if a class below runs there
 * and has had `least_ns`: two wakers never share a victim.
 */
static __always_inline bool cpu_claim(s32 cpu, u32 class, u64 least_ns, u32 percent)
{
	struct cpu_ctx *cctx = cpu_ctx_of(cpu);
	u32 running;

	if (!cctx)
		return false;
	running = cctx->running;
	if (running <= class + 1 || bpf_ktime_get_ns() - cctx->since < least_ns ||
	    (percent < PERCENT && seems_over_cap(cctx, class, percent)) ||
	    !__sync_bool_compare_and_swap(&cctx->running, running, class + 1))
		return false;
	/* What the victim ran is not its own. */
	cctx->since = bpf_ktime_get_ns();
	return true;
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

#endif
