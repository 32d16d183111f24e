// SPDX-License-Identifier: GPL-2.0
/*
 * What the kernel counts by itself: idle time, context switches, interrupts that one CPU sends
 * another to make it schedule, tasks that were queued again, time in which somebody waited for a
 * CPU.
 */
#include "guest_common.h"
#include "trials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_AT "/sys/kernel/sched_ext/root/events"

enum { LINE_BYTES = 8192 };

/* Sum all whole numbers that follow in a line, up to the first word that is none. */
static uint64_t numbers_sum(const char *text)
{
	uint64_t sum = 0, value;
	char *end;

	for (;; text = end) {
		value = strtoull(text, &end, 10);
		if (end == text)
			return sum;
		sum += value;
	}
}

/*
 * Sum the numbers of every line of `path` that begins with `label`, after blanks. A file that is
 * not there counts nothing if it is `optional`: there are no events without a scheduler.
 */
static uint64_t count_of(const char *path, const char *label, int optional)
{
	FILE *file = fopen(path, "re");
	char line[LINE_BYTES];
	uint64_t sum = 0;
	int found = 0;

	if (!file && optional && errno == ENOENT)
		return 0;
	if (!file)
		die(EXIT_BROKEN, "cannot open %s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		const char *text = line + strspn(line, " ");

		if (strncmp(text, label, strlen(label)))
			continue;
		found = 1;
		text += strlen(label);
		sum += numbers_sum(text + strcspn(text, " \t"));
	}
	fclose(file);
	if (!found && !optional)
		die(EXIT_BROKEN, "%s has no '%s'", path, label);
	return sum;
}

static uint64_t waited_us(void)
{
	FILE *file = fopen("/proc/pressure/cpu", "re");
	unsigned long long total = 0;

	if (!file || fscanf(file, "some %*s %*s %*s total=%llu", &total) != 1)
		die(EXIT_BROKEN, "cannot read /proc/pressure/cpu: %s", strerror(errno));
	fclose(file);
	return total;
}

/* An idle CPU adds up its time when it wakes: run on each for a moment. */
static void cpus_visit(void)
{
	cpu_set_t all, one;

	if (sched_getaffinity(0, sizeof(all), &all))
		die(EXIT_BROKEN, "cannot read the conductor's affinity: %s", strerror(errno));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		sched_setaffinity(0, sizeof(one), &one); /* fails for a CPU that is off line */
	}
	sched_setaffinity(0, sizeof(all), &all);
}

/*
 * Of all CPUs together. What tasks used would say less: on a virtual clock that all CPUs share, an
 * interrupt seems to last for as long as the others have their turns, and no task is charged for
 * it.
 */
static uint64_t idle_ms(void)
{
	FILE *file = fopen("/proc/uptime", "re");
	double idle = 0;

	cpus_visit();
	if (!file || fscanf(file, "%*f %lf", &idle) != 1)
		die(EXIT_BROKEN, "cannot read /proc/uptime: %s", strerror(errno));
	fclose(file);
	return (uint64_t)(idle * 1000);
}

struct counts counts_now(void)
{
	return (struct counts){
		.idle_ms = idle_ms(),
		.switches = count_of("/proc/stat", "ctxt", 0),
		.interrupts = count_of("/proc/interrupts", "RES:", 0) +
			      count_of("/proc/interrupts", "IWI:", 0),
		.requeued = count_of(EVENTS_AT, "SCX_EV_REENQ", 1),
		.waited_us = waited_us(),
	};
}

void counts_note(struct account *account, struct counts since)
{
	struct counts now = counts_now();

	effect_add(account, EFFECT_IDLE_MS, now.idle_ms - since.idle_ms);
	effect_add(account, EFFECT_SWITCHES, now.switches - since.switches);
	effect_add(account, EFFECT_INTERRUPTS, now.interrupts - since.interrupts);
	effect_add(account, EFFECT_REQUEUED, now.requeued - since.requeued);
	effect_add(account, EFFECT_WAITED_US, now.waited_us - since.waited_us);
}
