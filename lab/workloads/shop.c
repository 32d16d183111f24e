// SPDX-License-Identifier: Apache-2.0
/*
 * shop: the two sides of the demo's workload.
 *
 *   shop service THREADS WORK_US INTERVAL_MIN_US INTERVAL_MAX_US
 *       each thread gets requests at random times and uses WORK_US of CPU for each. They do not
 *       wait for the one before to be answered: of those that came meanwhile one is answered
 *       next, and the others are lost
 *   shop batch THREADS
 *       each thread computes without end
 *
 * Work is measured as the thread's own CPU time, so that it is the same work under any scheduler.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 64, NS_PER_US = 1000, NS_PER_SECOND = 1000000000, SPINS = 1000 };

struct work {
	bool endless;
	uint64_t work_ns;
	uint64_t interval_min_ns;
	uint64_t interval_span_ns;
	unsigned int seed;
};

static volatile uint64_t sink;

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec due = {.tv_sec = (time_t)(ns / NS_PER_SECOND),
			       .tv_nsec = (long)(ns % NS_PER_SECOND)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
		;
}

static void spin(void)
{
	for (unsigned int i = 0; i < SPINS; i++)
		sink += i;
}

static void *run(void *argument)
{
	struct work *work = argument;
	uint64_t due, end, now;

	while (work->endless)
		spin();
	due = clock_ns(CLOCK_MONOTONIC);
	for (;;) {
		due += work->interval_min_ns +
		       (uint64_t)rand_r(&work->seed) % (work->interval_span_ns + 1);
		now = clock_ns(CLOCK_MONOTONIC);
		if (due < now)
			due = now;
		else
			sleep_until(due);
		end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + work->work_ns;
		while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end)
			spin();
	}
	return NULL;
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	uint64_t value = strtoull(text, &end, 10);

	if (*end || end == text || value < least || value > most) {
		fprintf(stderr, "shop: %s is not a number from %lu to %lu\n", text, least, most);
		exit(64);
	}
	return value;
}

int main(int argc, char **argv)
{
	bool service = argc == 6 && !strcmp(argv[1], "service");
	bool batch = argc == 3 && !strcmp(argv[1], "batch");
	struct work works[THREADS_MAX];
	pthread_t threads[THREADS_MAX];
	uint64_t count;

	if (!service && !batch) {
		fprintf(stderr,
			"usage: shop service THREADS WORK_US INTERVAL_MIN_US INTERVAL_MAX_US\n"
			"       shop batch THREADS\n");
		return 64;
	}
	count = number(argv[2], 1, THREADS_MAX);
	for (uint64_t i = 0; i < count; i++) {
		struct work *work = works + i;

		*work = (struct work){.endless = batch, .seed = (unsigned int)i + 1};
		if (service) {
			uint64_t least = number(argv[4], 1, 60000000);

			work->work_ns = number(argv[3], 1, 1000000) * NS_PER_US;
			work->interval_min_ns = least * NS_PER_US;
			work->interval_span_ns =
				(number(argv[5], least, 60000000) - least) * NS_PER_US;
		}
		if (pthread_create(threads + i, NULL, run, work)) {
			fprintf(stderr, "shop: cannot start thread %lu\n", i);
			return 1;
		}
	}
	for (uint64_t i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
