// SPDX-License-Identifier: GPL-2.0
/* What the tasks of a trial do, each until it is killed. */
#include "guest_common.h"
#include "trials.h"

#include <sched.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKS_EACH = 650, NICE_MOST = 19 };

#define SLEEP_NS       (3 * MSEC)
#define BURST_NS       (MSEC / 2)
#define BRISK_BURST_NS (2 * MSEC)
#define BRISK_SLEEP_NS (2 * MSEC)
#define GENERATION_NS  (3 * MSEC)
#define LIGHT_BURST_NS (MSEC / 5)
#define LIGHT_SLEEP_NS (4 * MSEC)

static void spin(void)
{
	for (volatile int i = 0; i < 1000; i++)
		;
}

static void burn_ns(uint64_t ns)
{
	uint64_t until = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ns;

	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < until)
		spin();
}

void live_spinning(struct account *account, int argument)
{
	(void)account;
	(void)argument;
	for (;;)
		spin();
}

void live_sleeping(struct account *account, int argument)
{
	(void)argument;
	for (;;) {
		sleep_until(clock_ns(CLOCK_MONOTONIC) + SLEEP_NS);
		burn_ns(MSEC / 10);
		effect_add(account, EFFECT_SLEEPS, 1);
	}
}

void live_brisk(struct account *account, int argument)
{
	(void)argument;
	for (;;) {
		burn_ns(BURST_NS);
		sleep_until(clock_ns(CLOCK_MONOTONIC) + BURST_NS);
		effect_add(account, EFFECT_SLEEPS, 1);
	}
}

void live_yielding(struct account *account, int argument)
{
	(void)argument;
	for (;;) {
		spin();
		sched_yield();
		effect_add(account, EFFECT_YIELDS, 1);
	}
}

void live_in_bursts(struct account *account, int gate)
{
	char byte;

	while (read(gate, &byte, 1) == 1) {
		burn_ns(BURST_NS);
		effect_add(account, EFFECT_BURSTS, 1);
	}
}

void live_forking(struct account *account, int argument)
{
	(void)argument;
	for (int i = 0; i < FORKS_EACH; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid > 0 && waitpid(pid, NULL, 0) == pid)
			effect_add(account, EFFECT_FORKS, 1);
		else
			effect_add(account, EFFECT_FORKS_REFUSED, 1);
	}
	_exit(0);
}

void live_in_generations(struct account *account, int argument)
{
	(void)argument;
	setpgid(0, 0);
	for (;;) {
		pid_t heir;

		burn_ns(GENERATION_NS);
		heir = fork();
		if (heir)
			effect_add(account, heir > 0 ? EFFECT_FORKS : EFFECT_FORKS_REFUSED, 1);
		if (heir > 0)
			_exit(0);
	}
}

void live_realtime(struct account *account, int argument)
{
	(void)argument;
	while (sched_getscheduler(0) != SCHED_FIFO)
		spin();
	for (;;) {
		burn_ns(MSEC);
		effect_add(account, EFFECT_REALTIME_MS, 1);
	}
}

static void pulse_beat(struct pulse *pulse, uint64_t now)
{
	uint64_t last = __atomic_load_n(&pulse->last_ns, __ATOMIC_RELAXED);
	uint64_t gap = now > last ? now - last : 0;

	if (gap > pulse->longest_ns)
		__atomic_store_n(&pulse->longest_ns, gap, __ATOMIC_RELAXED);
	__atomic_store_n(&pulse->last_ns, now, __ATOMIC_RELEASE);
}

/* A burst counts as running only while the clock moves on under it: each look is a beat. */
static void pulse_burn(struct pulse *pulse, uint64_t ns)
{
	uint64_t until = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ns;

	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < until)
		pulse_beat(pulse, clock_ns(CLOCK_MONOTONIC));
}

static unsigned int memory_node(void)
{
	unsigned int cpu, node = 0;

	getcpu(&cpu, &node);
	return node;
}

/* Sleep, and note how long after its end that ended, and where. */
static void sleep_noted(struct account *account, struct pulse *pulse, uint64_t ns)
{
	uint64_t due = clock_ns(CLOCK_MONOTONIC) + ns, late;
	unsigned int before = memory_node();

	effect_add(account, EFFECT_SLEEPS, 1);
	__atomic_store_n(&pulse->last_ns, due, __ATOMIC_RELEASE);
	sleep_until(due);
	if (pulse->kind != WATCHED_BRISK)
		return;
	late = (clock_ns(CLOCK_MONOTONIC) - due) / 1000;
	effect_add(account, EFFECT_WOKEN, 1);
	effect_add(account, EFFECT_WOKEN_US, late);
	effect_most(account, EFFECT_WOKEN_MOST_US, late);
	if (memory_node() != before)
		effect_add(account, EFFECT_CROSSED, 1);
}

void live_watched(struct account *account, int number)
{
	struct pulse *pulse = account->pulses + number;
	bool light = pulse->kind == WATCHED_LIGHT;
	bool sleeps = pulse->kind == WATCHED_BRISK || pulse->kind == WATCHED_BRISK_NICE || light;
	bool nice = pulse->kind == WATCHED_HOG_NICE || pulse->kind == WATCHED_BRISK_NICE;

	if (nice && !setpriority(PRIO_PROCESS, 0, NICE_MOST))
		effect_add(account, EFFECT_NICED, 1);
	for (;;) {
		pulse_burn(pulse, light ? LIGHT_BURST_NS : BRISK_BURST_NS);
		if (sleeps)
			sleep_noted(account, pulse, light ? LIGHT_SLEEP_NS : BRISK_SLEEP_NS);
	}
}
