// SPDX-License-Identifier: GPL-2.0
/* The trials of control groups: pods that come and go, work in a pod, a group that is throttled. */
#include "guest_common.h"
#include "trials.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"
#define PODS ROOT "/kubepods"
#define TIER PODS "/burstable"
#define SLOW ROOT "/throttled"
#define POD  ROOT "/pod"

enum {
	POD_ROUNDS = 3,
	PODS_EACH = 48,
	EXECS = 16,
	CLEANINGS = 200,
	THROTTLED = 8,
	PASSING = 60,
	PATH_BYTES = 128,
	TEXT_BYTES = 32,
};

#define POD_NS (600 * MSEC)
/* Longer than anybody has a reason to do things otherwise because a group was made. */
#define SETTLED_NS   (8000 * MSEC)
#define PASSES_NS    (10 * MSEC)
#define THROTTLED_NS (1500 * MSEC)
/* Nobody may wait longer: below the proof's watchdog. */
#define RELEASED_NS (3500 * MSEC)
#define LOOK_NS	    (50 * MSEC)

static bool group_write(const char *group, const char *name, const char *text)
{
	char path[PATH_BYTES];
	bool written;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", group, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		die(EXIT_BROKEN, "cannot open %s: %s", path, strerror(errno));
	written = write(fd, text, strlen(text)) > 0;
	close(fd);
	return written;
}

static void group_set(const char *group, const char *name, const char *text)
{
	if (!group_write(group, name, text))
		die(EXIT_BROKEN, "cannot set %s of %s to %s: %s", name, group, text,
		    strerror(errno));
}

/* A scheduler may refuse a control group, and then its pods do not start. */
static bool group_make(struct crew *crew, const char *path)
{
	bool made = !mkdir(path, 0755) || errno == EEXIST;

	effect_add(crew->account, made ? EFFECT_CGROUPS : EFFECT_CGROUPS_REFUSED, 1);
	return made;
}

/* Tasks that ended may be on their way out of a group for a moment. */
static void group_remove(const char *path)
{
	for (int i = 0; rmdir(path); i++) {
		if (errno == ENOENT)
			return;
		if (errno != EBUSY || i == CLEANINGS)
			die(EXIT_BROKEN, "cannot remove %s: %s", path, strerror(errno));
		sleep_until(clock_ns(CLOCK_MONOTONIC) + MSEC);
	}
}

static void group_enter(struct crew *crew, const char *path, pid_t pid)
{
	char text[TEXT_BYTES];

	if (pid <= 0)
		return;
	snprintf(text, sizeof(text), "%d", pid);
	effect_add(crew->account,
		   group_write(path, "cgroup.procs", text) ? EFFECT_MOVES : EFFECT_MOVES_REFUSED,
		   1);
}

/* One pod with one container and its limits, as a kubelet makes them. */
static void pod_make(struct crew *crew, int number)
{
	char pod[PATH_BYTES / 2], container[PATH_BYTES - TEXT_BYTES], text[TEXT_BYTES];

	snprintf(pod, sizeof(pod), TIER "/pod%d", number);
	snprintf(container, sizeof(container), "%s/container", pod);
	if (!group_make(crew, pod))
		return;
	group_set(pod, "cgroup.subtree_control", "+cpu +cpuset");
	if (!group_make(crew, container))
		return;
	group_enter(crew, container, hire(crew, live_sleeping, 0));
	snprintf(text, sizeof(text), "%u", 1 + draw(crew, 10000));
	group_set(container, "cpu.weight", text);
	snprintf(text, sizeof(text), "%u 100000", 20000 + draw(crew, 200000));
	group_set(pod, "cpu.max", text);
	if (number % 4)
		return;
	snprintf(text, sizeof(text), "%d", (int)draw(crew, (unsigned int)crew->cpus));
	group_set(container, "cpuset.cpus", text);
}

static void pods_remove(void)
{
	char path[PATH_BYTES];

	for (int i = 0; i < PODS_EACH; i++) {
		snprintf(path, sizeof(path), TIER "/pod%d/container", i);
		group_remove(path);
		snprintf(path, sizeof(path), TIER "/pod%d", i);
		group_remove(path);
	}
}

/* Pods come and go, and somebody executes a command in those that run. */
void trial_cgroups(struct crew *crew)
{
	char path[PATH_BYTES];

	if (!group_make(crew, PODS))
		return;
	group_set(PODS, "cgroup.subtree_control", "+cpu +cpuset");
	if (group_make(crew, TIER)) {
		group_set(TIER, "cgroup.subtree_control", "+cpu +cpuset");
		for (int round = 0; round < POD_ROUNDS; round++) {
			for (int i = 0; i < PODS_EACH; i++) {
				pod_make(crew, i);
				sleep_until(clock_ns(CLOCK_MONOTONIC) + MSEC);
			}
			for (int i = 0; i < EXECS; i++) {
				snprintf(path, sizeof(path), TIER "/pod%d/container", i);
				if (!access(path, F_OK))
					group_enter(crew, path, hire(crew, live_sleeping, 0));
			}
			sleep_until(clock_ns(CLOCK_MONOTONIC) + 50 * MSEC);
			dismiss(crew);
			pods_remove();
		}
		group_remove(TIER);
	}
	group_remove(PODS);
}

/*
 * All there is to do is in one pod, as on a node with one busy workload: hogs, and who sleeps. They
 * begin when it has been there for a while, with nobody at work, which takes no time here.
 */
static bool pod_staff(struct crew *crew)
{
	if (!group_make(crew, POD))
		return false;
	hire_many(crew, crew->cpus + 1, live_spinning, 0);
	hire_many(crew, 2 * crew->cpus, live_sleeping, 0);
	for (int i = 0; i < crew->count; i++) {
		kill(crew->pids[i], SIGSTOP);
		group_enter(crew, POD, crew->pids[i]);
	}
	sleep_until(clock_ns(CLOCK_MONOTONIC) + SETTLED_NS);
	for (int i = 0; i < crew->count; i++)
		kill(crew->pids[i], SIGCONT);
	trial_begins(crew);
	return true;
}

static void pod_dismiss(struct crew *crew)
{
	dismiss(crew);
	group_remove(POD);
}

void trial_pod(struct crew *crew)
{
	if (!pod_staff(crew))
		return;
	sleep_until(clock_ns(CLOCK_MONOTONIC) + POD_NS);
	pod_dismiss(crew);
}

/* The same work, and other pods come and go, each as busy, for as long as a moment. */
void trial_pods_pass(struct crew *crew)
{
	char paths[2][PATH_BYTES];
	int passing;

	if (!pod_staff(crew))
		return;
	passing = crew->count;
	hire_many(crew, crew->cpus, live_spinning, 0);
	for (int i = 0; i < PASSING; i++) {
		char *path = paths[i % 2];

		snprintf(path, PATH_BYTES, ROOT "/passing%d", i);
		if (!group_make(crew, path))
			return;
		for (int j = passing; j < crew->count; j++)
			group_enter(crew, path, crew->pids[j]);
		if (i)
			group_remove(paths[(i + 1) % 2]);
		sleep_until(clock_ns(CLOCK_MONOTONIC) + PASSES_NS);
	}
	pod_dismiss(crew);
	group_remove(paths[(PASSING + 1) % 2]);
}

static int released_since(const struct crew *crew, uint64_t begin)
{
	int count = 0;

	for (int i = 0; i < THROTTLED; i++)
		count += crew->account->pulses[i].last_ns > begin;
	return count;
}

/*
 * A group with much work and little allowed beside tasks outside, then nothing but the group and no
 * limit: whoever was held back must come back, and may wait for it as long as anybody may.
 */
void trial_throttle(struct crew *crew)
{
	uint64_t begin;

	if (!group_make(crew, SLOW))
		return;
	group_set(SLOW, "cpu.max", "20000 100000");
	hire_watched(crew, THROTTLED, WATCHED_HOG);
	for (int i = 0; i < THROTTLED && i < crew->count; i++)
		group_enter(crew, SLOW, crew->pids[i]);
	hire_watched(crew, crew->cpus, WATCHED_BRISK);
	sleep_until(clock_ns(CLOCK_MONOTONIC) + THROTTLED_NS);
	group_set(SLOW, "cpu.max", "max 100000");
	dismiss_after(crew, THROTTLED);
	begin = clock_ns(CLOCK_MONOTONIC);
	while (released_since(crew, begin) < THROTTLED &&
	       clock_ns(CLOCK_MONOTONIC) < begin + RELEASED_NS)
		sleep_until(clock_ns(CLOCK_MONOTONIC) + LOOK_NS);
	effect_add(crew->account, EFFECT_RELEASED, released_since(crew, begin));
	dismiss(crew);
	group_remove(SLOW);
}
