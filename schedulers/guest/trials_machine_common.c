// SPDX-License-Identifier: GPL-2.0
/* The trials in which CPUs are taken away: by real-time tasks, and off line. */
#include "guest_common.h"
#include "trials.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 64, LIGHT = 12 };

/* Whoever is bound to such a CPU may wait for all of it, and for its turn after that. */
#define HOGGED_NS (2000 * MSEC)
/* Nobody has a reason to wait for longer than this while a CPU has time to spare. */
#define LATE_NS (500 * MSEC)
/* Longer than anybody may go without running. */
#define OFFLINE_NS (4500 * MSEC)

static void rest(uint64_t ns)
{
	sleep_until(clock_ns(CLOCK_MONOTONIC) + ns);
}

/*
 * Light tasks that ran everywhere go on while real-time tasks take `hogs` CPUs for good, and the
 * others are enough for them. Whoever was about to run on such a CPU may be stuck there; whoever is
 * put there later is late through no fault of the machine.
 */
static void hogged(struct crew *crew, int hogs)
{
	uint64_t now;

	hire_watched(crew, LIGHT, WATCHED_LIGHT);
	rest(300 * MSEC);
	for (int cpu = 0; cpu < hogs; cpu++)
		make_realtime(crew, hire(crew, live_realtime, 0), crew->cpus - 1 - cpu);
	rest(HOGGED_NS);
	now = clock_ns(CLOCK_MONOTONIC);
	for (int i = 0; i < LIGHT; i++) {
		const struct pulse *pulse = crew->account->pulses + i;
		uint64_t open = now > pulse->last_ns ? now - pulse->last_ns : 0;

		if (pulse->longest_ns > LATE_NS || open > LATE_NS)
			effect_add(crew->account, EFFECT_LATE, 1);
	}
}

void trial_hogged_one(struct crew *crew)
{
	hogged(crew, 1);
}

void trial_hogged_most(struct crew *crew)
{
	hogged(crew, crew->cpus - 1);
}

static bool cpu_switch(int cpu, const char *online)
{
	char path[PATH_BYTES];
	bool written;
	int fd;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		die(EXIT_BROKEN, "cannot open %s: %s", path, strerror(errno));
	written = write(fd, online, 1) == 1;
	close(fd);
	return written;
}

/*
 * The last CPU goes, for longer than anybody may go without running, and comes back, while tasks
 * run that are bound to it and its neighbour, and to nothing. The CPUs that are left are enough for
 * them, so that nobody has to wait who is found. Nobody is bound to the last CPU alone: the kernel
 * lifts such a bound when it places the task, and whoever waits in a scheduler's own queue is not
 * placed.
 */
void trial_hotplug(struct crew *crew)
{
	int last = crew->cpus - 1;
	cpu_set_t two;

	CPU_ZERO(&two);
	CPU_SET(last, &two);
	CPU_SET(last - 1, &two);
	hire_watched(crew, 1, WATCHED_HOG);
	hire_watched(crew, 2, WATCHED_BRISK);
	hire_watched(crew, crew->cpus, WATCHED_LIGHT);
	affinity_set(crew, crew->pids[1], &two);
	affinity_set(crew, crew->pids[crew->count - 1], &two);
	rest(300 * MSEC);
	if (cpu_switch(last, "0"))
		effect_add(crew->account, EFFECT_OFFLINED, 1);
	rest(OFFLINE_NS);
	if (cpu_switch(last, "1"))
		effect_add(crew->account, EFFECT_ONLINED, 1);
	rest(500 * MSEC);
}
