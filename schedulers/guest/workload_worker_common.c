// SPDX-License-Identifier: GPL-2.0
/*
 * One worker: bursts of CPU time and sleeps. Work is CPU time of the thread, never a number of
 * instructions: on virtual time all CPUs share one instruction budget.
 */
#include "workload.h"
#include "guest_common.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
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

uint64_t duration_draw(const struct distribution *distribution, uint64_t *random)
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

uint64_t next_due_ns(struct part *part)
{
	uint64_t sleep = duration_draw(&part->group->sleep, &part->random);

	if (!sleep)
		return 0;
	if (!part->group->paced || !part->paced_ns)
		part->paced_ns = clock_ns(CLOCK_MONOTONIC);
	part->paced_ns += sleep;
	return part->paced_ns;
}

static void spin_until(uint64_t cpu_time_ns)
{
	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < cpu_time_ns)
		;
}

void spin_for(uint64_t cpu_time_ns)
{
	spin_until(clock_ns(CLOCK_THREAD_CPUTIME_ID) + cpu_time_ns);
}

void sample_add(struct worker *worker, uint64_t lateness_ns, uint64_t response_ns)
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

/* Wait for the beginning of the worker's own work. */
static void begin_await(struct part *part)
{
	uint64_t delay = part->group->start_delay_ns;

	pthread_barrier_wait(&part->stage->barrier);
	if (part->is_job) {
		bell_await(part->worker, BELL_SILENT);
		return;
	}
	part->worker->began_ns = part->stage->started_ns + delay;
	if (delay)
		sleep_until(part->worker->began_ns);
}

static void cycle_run(struct part *part, uint64_t cpu_end_ns)
{
	struct worker *worker = part->worker;
	uint64_t burst = duration_draw(&part->group->burst, &part->random);
	uint64_t due = next_due_ns(part), woken = 0, target;

	if (due) {
		cycle_begin(worker, due);
		sleep_until(due);
		woken = clock_ns(CLOCK_MONOTONIC);
		__atomic_store_n(&worker->woken_ns, woken, __ATOMIC_RELEASE);
	}
	target = clock_ns(CLOCK_THREAD_CPUTIME_ID) + burst;
	spin_until(target < cpu_end_ns ? target : cpu_end_ns);
	if (due && due >= part->stage->record_from_ns)
		sample_add(worker, woken - due, clock_ns(CLOCK_MONOTONIC) - due);
	__atomic_store_n(&worker->due_ns, 0, __ATOMIC_RELEASE);
}

void worker_run(struct part *part)
{
	uint64_t total = part->group->total_cpu_ns, cpu_end_ns;

	settle_in(part->group);
	part->worker->began_ns = 1; /* so that its memory is there before time starts */
	__atomic_add_fetch(&part->stage->ready, 1, __ATOMIC_RELEASE);
	begin_await(part);
	if (part->group->serves)
		requests_serve(part);
	if (part->group->served_by)
		requests_make(part);
	cpu_end_ns = total ? clock_ns(CLOCK_THREAD_CPUTIME_ID) + total : UINT64_MAX;
	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < cpu_end_ns)
		cycle_run(part, cpu_end_ns);
	part->worker->finished_ns = clock_ns(CLOCK_MONOTONIC);
	/* It stays until it is ended: taking a process apart is no part of its work. */
	kill(getppid(), SIGCHLD);
	for (;;)
		pause();
}
