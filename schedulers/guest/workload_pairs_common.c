// SPDX-License-Identifier: GPL-2.0
/*
 * Pairs of those who ask and those who answer, as in a server with a dispatcher: a worker asks and
 * sleeps, its server burns a burst for each request and wakes the worker, which then does its work.
 */
#include "workload.h"
#include "guest_common.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static void futex_wake(uint32_t *bell)
{
	syscall(SYS_futex, bell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

void bell_ring(struct worker *worker)
{
	__atomic_store_n(&worker->bell, BELL_RUNG, __ATOMIC_RELEASE);
	futex_wake(&worker->bell);
}

void bell_await(struct worker *worker, uint32_t while_value)
{
	while (__atomic_load_n(&worker->bell, __ATOMIC_ACQUIRE) == while_value)
		syscall(SYS_futex, &worker->bell, FUTEX_WAIT, while_value, NULL, NULL, 0);
}

static unsigned int index_in(const struct part *part)
{
	return (unsigned int)(part->worker - part->workers - part->group->first);
}

void requests_make(struct part *part)
{
	const struct group *servers = part->group->served_by;
	struct worker *worker = part->worker;
	struct worker *server = part->workers + servers->first + index_in(part) % servers->threads;

	for (;;) {
		uint64_t ask_at = next_due_ns(part), asked, due, woken;

		if (ask_at)
			sleep_until(ask_at);
		asked = clock_ns(CLOCK_MONOTONIC);
		__atomic_store_n(&worker->bell, BELL_REQUESTED, __ATOMIC_RELEASE);
		__atomic_add_fetch(&server->bell, 1, __ATOMIC_RELEASE);
		futex_wake(&server->bell);
		bell_await(worker, BELL_REQUESTED);
		woken = clock_ns(CLOCK_MONOTONIC);
		due = worker->due_ns;
		__atomic_store_n(&worker->woken_ns, woken, __ATOMIC_RELEASE);
		spin_for(duration_draw(&part->group->burst, &part->random));
		if (due >= part->stage->record_from_ns)
			sample_add(worker, woken - due, clock_ns(CLOCK_MONOTONIC) - asked);
		__atomic_store_n(&worker->due_ns, 0, __ATOMIC_RELEASE);
	}
}

static void answer(struct part *part, struct worker *asker)
{
	spin_for(duration_draw(&part->group->burst, &part->random));
	__atomic_store_n(&asker->woken_ns, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&asker->due_ns, clock_ns(CLOCK_MONOTONIC), __ATOMIC_RELEASE);
	bell_ring(asker);
}

void requests_serve(struct part *part)
{
	const struct group *askers = part->group->serves;
	struct worker *server = part->worker;

	for (;;) {
		uint32_t seen = __atomic_load_n(&server->bell, __ATOMIC_ACQUIRE);

		for (unsigned int i = index_in(part); i < askers->threads;
		     i += part->group->threads) {
			struct worker *asker = part->workers + askers->first + i;

			if (__atomic_load_n(&asker->bell, __ATOMIC_ACQUIRE) == BELL_REQUESTED)
				answer(part, asker);
		}
		/* A request that came meanwhile has rung. */
		bell_await(server, seen);
	}
}
