// SPDX-License-Identifier: GPL-2.0
/*
 * Lift the parent above the scheduler that is held, when that scheduler starves it.
 *
 * A parent that were real-time all the time would disturb the very latencies that it measures. So
 * it is ordinary as long as its renewals arrive. When they do not, all of its threads become
 * SCHED_FIFO, until they have been in time for a while. It is done here because the parent cannot:
 * a starved thread of it may hold what the others need to run. What it starts meanwhile is lifted
 * too (no SCHED_RESET_ON_FORK): a new connection's thread that starves would answer nobody.
 */
#include "loader.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATE_PART = 3, CALM_MS = 5000, PASSES = 8, PATH_BYTES = 64, MESSAGE_BYTES = 160 };

/* Returns how many threads changed their class; what ends meanwhile is passed over. */
static int threads_schedule(pid_t process, int policy, int priority)
{
	struct sched_param parameters = {.sched_priority = priority};
	char path[PATH_BYTES];
	struct dirent *entry;
	int changed = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", process);
	tasks = opendir(path);
	if (!tasks)
		return 0;
	while ((entry = readdir(tasks))) {
		pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);

		if (thread > 0 && sched_getscheduler(thread) != policy &&
		    !sched_setscheduler(thread, policy, &parameters))
			changed++;
	}
	closedir(tasks);
	return changed;
}

/* Until a pass finds none: those that were not reached yet start threads of their own class. */
bool process_schedule(int process, int policy, int priority)
{
	bool changed = false;
	int pass = 0;

	while (pass < PASSES && threads_schedule(process, policy, priority)) {
		changed = true;
		pass++;
	}
	return changed;
}

void lift_look(struct lift *lift, const struct options *options, struct json *json,
	       long long now_ms, long long late_ms)
{
	char message[MESSAGE_BYTES];
	bool late = late_ms > options->lease_ms / LATE_PART;

	if (!options->rt_priority || !options->lease_ms)
		return;
	if (late)
		lift->late_at_ms = now_ms;
	if (late && !lift->lifted && !lift->tried) {
		lift->tried = true;
		lift->lifted = process_schedule(options->parent, SCHED_FIFO, options->rt_priority);
		snprintf(message, sizeof(message), "no renewal for %lld ms: the parent %s", late_ms,
			 lift->lifted ? "is real-time now" : "could not be made real-time");
		report_warning(json, "ParentLate", message);
	} else if (lift->lifted && now_ms - lift->late_at_ms > CALM_MS) {
		lift_end(lift, options);
	}
	if (!late)
		lift->tried = false;
}

void lift_end(struct lift *lift, const struct options *options)
{
	if (lift->lifted)
		process_schedule(options->parent, SCHED_OTHER, 0);
	lift->lifted = false;
}
