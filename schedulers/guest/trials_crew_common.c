// SPDX-License-Identifier: GPL-2.0
/* Hire, change and dismiss the tasks of a trial, and count what was really done. */
#include "guest_common.h"
#include "trials.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HOG_PRIORITY = 1, NICE_VALUES = 40, NICE_LOWEST = -20 };

static const char *const effect_names[EFFECTS] = {
	[EFFECT_TASKS] = "tasks",
	[EFFECT_FORKS] = "forks",
	[EFFECT_BURSTS] = "bursts",
	[EFFECT_SLEEPS] = "sleeps",
	[EFFECT_WOKEN] = "woken",
	[EFFECT_WOKEN_US] = "wokenUs",
	[EFFECT_WOKEN_MOST_US] = "wokenMostUs",
	[EFFECT_CROSSED] = "crossed",
	[EFFECT_NODES] = "nodes",
	[EFFECT_YIELDS] = "yields",
	[EFFECT_NICED] = "niced",
	[EFFECT_BOUND] = "bound",
	[EFFECT_REALTIME_MS] = "realtimeMs",
	[EFFECT_CGROUPS] = "cgroups",
	[EFFECT_MOVES] = "moves",
	[EFFECT_IDLE_MS] = "idleMs",
	[EFFECT_SWITCHES] = "switches",
	[EFFECT_INTERRUPTS] = "interrupts",
	[EFFECT_REQUEUED] = "requeued",
	[EFFECT_WAITED_US] = "waitedUs",
	[EFFECT_SPEEDS_WATCHED] = "speedsWatched",
	[EFFECT_SPEEDS] = "speeds",
	[EFFECT_SPEEDS_HIGH] = "speedsHigh",
	[EFFECT_SPEEDS_LEFT] = "speedsLeft",
	[EFFECT_LATE] = "late",
	[EFFECT_RELEASED] = "released",
	[EFFECT_OFFLINED] = "offlined",
	[EFFECT_ONLINED] = "onlined",
	[EFFECT_FORKS_REFUSED] = "forksRefused",
	[EFFECT_CGROUPS_REFUSED] = "cgroupsRefused",
	[EFFECT_MOVES_REFUSED] = "movesRefused",
};

static const char *const watched_names[WATCHED] = {
	"hog", "hog nice+19", "brisk", "brisk nice+19", "light",
};

void crew_prepare(struct crew *crew)
{
	crew->account = mmap(NULL, sizeof(*crew->account), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (crew->account == MAP_FAILED)
		die(EXIT_BROKEN, "cannot share %zu bytes", sizeof(*crew->account));
	crew->cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
}

void trial_begins(struct crew *crew)
{
	crew->before = counts_now();
	crew->begin = clock_ns(CLOCK_MONOTONIC);
}

unsigned int draw(struct crew *crew, unsigned int below)
{
	crew->random = crew->random * 1103515245u + 12345u;
	return (crew->random >> 16) % below;
}

void effect_add(struct account *account, enum effect effect, uint64_t amount)
{
	__atomic_add_fetch(account->effects + effect, amount, __ATOMIC_RELAXED);
}

void effect_most(struct account *account, enum effect effect, uint64_t amount)
{
	uint64_t known = __atomic_load_n(account->effects + effect, __ATOMIC_RELAXED);

	while (known < amount &&
	       !__atomic_compare_exchange_n(account->effects + effect, &known, amount, 1,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

pid_t hire(struct crew *crew, life live, int argument)
{
	pid_t pid;

	if (crew->count == TASKS_MAX)
		die(EXIT_BROKEN, "a crew has at most %d tasks", TASKS_MAX);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		live(crew->account, argument);
		_exit(0);
	}
	effect_add(crew->account, pid < 0 ? EFFECT_FORKS_REFUSED : EFFECT_TASKS, 1);
	if (pid > 0)
		crew->pids[crew->count++] = pid;
	return pid;
}

void hire_many(struct crew *crew, int count, life live, int argument)
{
	while (count-- > 0)
		hire(crew, live, argument);
}

void hire_watched(struct crew *crew, int count, enum watched kind)
{
	while (count-- > 0) {
		struct pulse *pulse = crew->account->pulses + crew->count;

		*pulse = (struct pulse){.kind = kind, .last_ns = clock_ns(CLOCK_MONOTONIC)};
		hire(crew, live_watched, crew->count);
	}
}

void dismiss_after(struct crew *crew, int kept)
{
	for (int i = kept; i < crew->count; i++)
		kill(crew->pids[i], SIGKILL);
	for (int i = kept; i < crew->count; i++)
		waitpid(crew->pids[i], NULL, 0);
	crew->count = kept < crew->count ? kept : crew->count;
}

void dismiss(struct crew *crew)
{
	dismiss_after(crew, 0);
}

void affinity_set(struct crew *crew, pid_t pid, const cpu_set_t *cpus)
{
	if (pid > 0 && !sched_setaffinity(pid, sizeof(*cpus), cpus))
		effect_add(crew->account, EFFECT_BOUND, 1);
}

void bind_to(struct crew *crew, pid_t pid, int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	affinity_set(crew, pid, &cpus);
}

void make_realtime(struct crew *crew, pid_t pid, int cpu)
{
	struct sched_param parameters = {.sched_priority = HOG_PRIORITY};

	bind_to(crew, pid, cpu);
	if (pid > 0 && sched_setscheduler(pid, SCHED_FIFO, &parameters))
		die(EXIT_BROKEN, "cannot make task %d real-time", pid);
}

void affinity_change(struct crew *crew, pid_t pid)
{
	unsigned int choice = draw(crew, 3);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(draw(crew, crew->cpus), &cpus);
	for (int cpu = 0; choice && cpu < crew->cpus; cpu++)
		if (choice == 2 || draw(crew, 2))
			CPU_SET(cpu, &cpus);
	affinity_set(crew, pid, &cpus);
}

void nice_change(struct crew *crew, pid_t pid)
{
	if (!setpriority(PRIO_PROCESS, pid, NICE_LOWEST + (int)draw(crew, NICE_VALUES)))
		effect_add(crew->account, EFFECT_NICED, 1);
}

static bool any_watched(const struct account *account, enum watched kind)
{
	for (int i = 0; i < TASKS_MAX; i++)
		if (account->pulses[i].last_ns && account->pulses[i].kind == kind)
			return true;
	return false;
}

static uint64_t longest_gap(const struct account *account, enum watched kind, uint64_t now)
{
	uint64_t longest = 0;

	for (int i = 0; i < TASKS_MAX; i++) {
		const struct pulse *pulse = account->pulses + i;
		uint64_t last = __atomic_load_n(&pulse->last_ns, __ATOMIC_ACQUIRE), open;

		if (!last || pulse->kind != kind)
			continue;
		open = now > last ? now - last : 0;
		longest = open > longest ? open : longest;
		longest = pulse->longest_ns > longest ? pulse->longest_ns : longest;
	}
	return longest;
}

void account_print(const struct account *account, uint64_t now)
{
	const char *comma = "";

	printf(",\"effects\":{");
	for (int i = 0; i < EFFECTS; i++) {
		if (!account->effects[i])
			continue;
		printf("%s\"%s\":%llu", comma, effect_names[i],
		       (unsigned long long)account->effects[i]);
		comma = ",";
	}
	printf("},\"longestGapsNs\":{");
	comma = "";
	for (int kind = 0; kind < WATCHED; kind++) {
		if (!any_watched(account, kind))
			continue;
		printf("%s\"%s\":%llu", comma, watched_names[kind],
		       (unsigned long long)longest_gap(account, kind, now));
		comma = ",";
	}
	printf("}");
}
