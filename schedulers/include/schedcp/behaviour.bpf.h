/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a task does, measured: how long its bursts of CPU time and its sleeps are. Names, paths and
 * users are never looked at.
 */
#ifndef SCHEDCP_BEHAVIOUR_BPF_H
#define SCHEDCP_BEHAVIOUR_BPF_H

#include "schedcp/common.bpf.h"

/* A scheduler may define its own defaults before it includes this. */
#ifndef BURST_LIMIT_NS
#define BURST_LIMIT_NS (4 * NSEC_PER_MSEC)
#endif
#ifndef SLEEP_PERCENT
#define SLEEP_PERCENT 50
#endif

/* A burst that is longer than this is throughput work. */
const volatile u64 burst_limit_ns = BURST_LIMIT_NS;
/* A latency-sensitive task sleeps for at least this share of its time. */
const volatile u32 sleep_percent = SLEEP_PERCENT;

enum behaviour_consts {
	PERCENT = 100,
	AVERAGE_WEIGHT = 4,  /* a new value counts for a quarter */
	UNPROVEN_FACTOR = 2, /* a new task starts at twice the limit: it must prove itself */
};

#define SLEEP_MAX_NS ((u64)NSEC_PER_SEC) /* a longer sleep says no more than this one */

struct behaviour {
	u64 burst_ns; /* CPU time since it last woke */
	u64 average_burst_ns;
	u64 average_sleep_ns;
	u64 slept_at; /* 0: not asleep */
};

static __always_inline u64 average_of(u64 average, u64 value)
{
	return (average * (AVERAGE_WEIGHT - 1) + value) / AVERAGE_WEIGHT;
}

static __always_inline void behaviour_start(struct behaviour *behaviour)
{
	behaviour->average_burst_ns = burst_limit_ns * UNPROVEN_FACTOR;
}

/* Call it from ops.runnable: a sleep is over. */
static __always_inline void behaviour_wake(struct behaviour *behaviour)
{
	u64 now = bpf_ktime_get_ns(), slept;

	if (!behaviour->slept_at)
		return;
	slept = now > behaviour->slept_at ? now - behaviour->slept_at : 0;
	if (slept > SLEEP_MAX_NS)
		slept = SLEEP_MAX_NS;
	behaviour->average_sleep_ns = average_of(behaviour->average_sleep_ns, slept);
	behaviour->slept_at = 0;
}

/* Call it from ops.stopping, with the CPU time since ops.running. */
static __always_inline void behaviour_ran(struct behaviour *behaviour, u64 used_ns)
{
	behaviour->burst_ns += used_ns;
}

/*
 * Call it from ops.quiescent. Only a sleep ends a burst; a migration or a new nice value does not.
 * However long one burst was, it does not undo all the short ones before it.
 */
static __always_inline void behaviour_sleep(struct behaviour *behaviour, u64 deq_flags)
{
	u64 burst = behaviour->burst_ns, most = burst_limit_ns * UNPROVEN_FACTOR;

	if (!(deq_flags & SCX_DEQ_SLEEP))
		return;
	if (burst > most)
		burst = most;
	behaviour->average_burst_ns = average_of(behaviour->average_burst_ns, burst);
	behaviour->burst_ns = 0;
	behaviour->slept_at = bpf_ktime_get_ns();
}

/* A burst that is over the limit while it lasts counts at once, whatever the average says. */
static __always_inline bool behaviour_is_brief(const struct behaviour *behaviour, u64 limit_ns)
{
	return behaviour->average_burst_ns <= limit_ns && behaviour->burst_ns <= limit_ns;
}

static __always_inline bool behaviour_sleeps_for(const struct behaviour *behaviour, u32 percent)
{
	u64 cycle = behaviour->average_sleep_ns + behaviour->average_burst_ns;

	return behaviour->average_sleep_ns * PERCENT >= cycle * percent;
}

static __always_inline bool behaviour_sleeps(const struct behaviour *behaviour)
{
	return behaviour_sleeps_for(behaviour, sleep_percent);
}

#endif
