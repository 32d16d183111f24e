// SPDX-License-Identifier: GPL-2.0
/* The trial of what speed a scheduler asks for, which the guest has had the kernel write down. */
#include "guest_common.h"
#include "trials.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRACING "/sys/kernel/tracing/"

enum {
	LINE_BYTES = 1024,
	CPUS_MOST = 64,
	NOTHING = -1,
	SPEED_HIGH = 922, /* nine tenths of SCX_CPUPERF_ONE */
};

static void rest(uint64_t ns)
{
	sleep_until(clock_ns(CLOCK_MONOTONIC) + ns);
}

/* Forget what was asked for; false where the guest could not have the kernel tell of it. */
static bool trace_empty(void)
{
	int fd = open(TRACING "trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd < 0 || access(TRACING "events/schedcp/speed", F_OK))
		return false;
	close(fd);
	return true;
}

/* Count what was asked for since the trace was emptied, and note what each CPU was left with, if
 * anything was asked for. */
static uint64_t speeds_read(uint64_t *high, int left[CPUS_MOST])
{
	FILE *file = fopen(TRACING "trace", "re");
	unsigned int cpu;
	int speed;
	char line[LINE_BYTES];
	uint64_t asked = 0;

	*high = 0;
	for (int i = 0; i < CPUS_MOST; i++)
		left[i] = NOTHING;
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		const char *found = strstr(line, " cpu=");

		if (!found || sscanf(found, " cpu=%u speed=%d", &cpu, &speed) != 2)
			continue;
		asked++;
		*high += speed >= SPEED_HIGH;
		if (cpu < CPUS_MOST)
			left[cpu] = speed;
	}
	fclose(file);
	return asked;
}

/*
 * All CPUs are busy, and then each runs one light task: what is asked for once that has gone on for
 * a while, and where nothing is, what was before?
 */
void trial_calms_down(struct crew *crew)
{
	int before[CPUS_MOST], calm[CPUS_MOST];
	uint64_t high;

	hire_many(crew, crew->cpus, live_spinning, 0);
	rest(200 * MSEC);
	dismiss(crew);
	hire_watched(crew, crew->cpus, WATCHED_LIGHT);
	for (int cpu = 0; cpu < crew->cpus; cpu++)
		bind_to(crew, crew->pids[cpu], cpu);
	rest(400 * MSEC);
	speeds_read(&high, before);
	if (!trace_empty())
		return;
	rest(800 * MSEC);
	effect_add(crew->account, EFFECT_SPEEDS_WATCHED, 1);
	effect_add(crew->account, EFFECT_SPEEDS, speeds_read(&high, calm));
	effect_add(crew->account, EFFECT_SPEEDS_HIGH, high);
	for (int cpu = 0; cpu < CPUS_MOST; cpu++)
		if (before[cpu] >= SPEED_HIGH && calm[cpu] == NOTHING)
			effect_add(crew->account, EFFECT_SPEEDS_LEFT, 1);
}
