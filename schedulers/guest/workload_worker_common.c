// SPDX-License-Identifier: GPL-2.0
/*
 * One worker: bursts of CPU time and sleeps. Work is CPU time of the thread, never a number of
 * instructions: on virtual time all CPUs share one instruction budget.
 */
#include "workload.h"
#include "guest_common.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PERCENT = 100, FRACTION_BITS = 32 };

static const unsigned int quantile_percent[QUANTILES] = {0, 25, 50, 75, 90, 99, 100};

/* splitmix64: small, seeded, and the same on every machine. */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static uint64_t draw(const struct distribution *distribution, uint64_t *random)
{
	uint64_t scaled = (random_next(random) >> FRACTION_BITS) * PERCENT;
	uint64_t percent = scaled >> FRACTION_BITS;
	int i = 0;

	while (i < QUANTILES - 2 && percent >= quantile_percent[i + 1])
		i++;
	return distribution->at[i] +
	       (uint64_t)((double)(distribution->at[i + 1] - distribution->at[i]) *
			  ((double)scaled / (double)(1ULL << FRACTION_BITS) - quantile_percent[i]) /
			  (quantile_percent[i + 1] - quantile_percent[i]));
}

static void spin_until(uint64_t cpu_time_ns)
{
	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < cpu_time_ns)
		;
}

static void sample_add(struct worker *worker, uint64_t lateness_ns, uint64_t response_ns)
{
	if (worker->sample_count < SAMPLES_MAX) {
		worker->lateness_ns[worker->sample_count] = lateness_ns;
		worker->response_ns[worker->sample_count] = response_ns;
	}
	__atomic_store_n(&worker->sample_count, worker->sample_count + 1, __ATOMIC_RELEASE);
}

static void cycle_begin(struct worker *worker, uint64_t due_ns)
{
	__atomic_store_n(&worker->woken_ns, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&worker->due_ns, due_ns, __ATOMIC_RELEASE);
}

static void settle_in(const struct group *group)
{
	cpu_set_t cpus;

	prctl(PR_SET_NAME, group->name);
	prctl(PR_SET_PDEATHSIG, 9);
	prctl(PR_SET_TIMERSLACK, 1);
	if (setpriority(PRIO_PROCESS, 0, group->nice))
		die(EXIT_BROKEN, "cannot set nice %d: %s", group->nice, strerror(errno));
	if (group->cpu < 0)
		return;
	CPU_ZERO(&cpus);
	CPU_SET(group->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die(EXIT_BROKEN, "cannot run on CPU %d: %s", group->cpu, strerror(errno));
}

void worker_run(const struct group *group, uint64_t seed, struct stage *stage,
		struct worker *worker)
{
	uint64_t begin, used = 0, random = seed;

	settle_in(group);
	__atomic_add_fetch(&stage->ready, 1, __ATOMIC_RELEASE);
	pthread_barrier_wait(&stage->barrier);
	if (group->start_delay_ns)
		sleep_until(stage->started_ns + group->start_delay_ns);
	begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	while (!group->total_cpu_ns || used < group->total_cpu_ns) {
		uint64_t burst = draw(&group->burst, &random), sleep = draw(&group->sleep, &random);
		uint64_t due = 0, woken = 0, target;

		if (sleep) {
			due = clock_ns(CLOCK_MONOTONIC) + sleep;
			cycle_begin(worker, due);
			sleep_until(due);
			woken = clock_ns(CLOCK_MONOTONIC);
			__atomic_store_n(&worker->woken_ns, woken, __ATOMIC_RELEASE);
		}
		target = clock_ns(CLOCK_THREAD_CPUTIME_ID) + burst;
		if (group->total_cpu_ns && target > begin + group->total_cpu_ns)
			target = begin + group->total_cpu_ns;
		spin_until(target);
		used = clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin;
		if (sleep && due >= stage->record_from_ns)
			sample_add(worker, woken - due, clock_ns(CLOCK_MONOTONIC) - due);
		__atomic_store_n(&worker->due_ns, 0, __ATOMIC_RELEASE);
	}
	worker->finished_ns = clock_ns(CLOCK_MONOTONIC);
	_exit(0);
}
