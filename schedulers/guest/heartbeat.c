// SPDX-License-Identifier: GPL-2.0
/*
 * heartbeat: who did not get to run, and for how long.
 *
 * One thread for each class of task beats at a fixed period: ordinary, nice 19, nice -20, one
 * bound to each CPU, one that waits for an RCU grace period (its kernel threads must run) and one
 * that sends a byte through a pseudo-terminal (a kworker must run). A real-time observer reports
 * each class's longest gap beyond its period, also a gap that is still open.
 */
#include "guest_common.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	CPUS_MAX = 256,
	FIXED_CLASSES = 5,
	NAME_BYTES = 32,
	OBSERVER_PRIORITY = 70,
	DEFAULT_PERIOD_NS = 50000000,
	PTY_DEADLINE_MS = 60000,
};

static const char help_text[] =
	"usage: heartbeat --duration-ns N [--period-ns N] [--report-ns N]\n"
	"\n"
	"Print, at the end and every --report-ns before it, one JSON line for each class:\n"
	"class, beats, longestGapNs (beyond the period of 50 ms, open gaps included), final.\n"
	"Classes: normal, nice+19, nice-20, rcu, kworker, pinned-CPU. /dev/pts must be mounted.\n";

static const struct option long_options[] = {
	{"duration-ns", required_argument, NULL, 'd'},
	{"period-ns", required_argument, NULL, 'n'},
	{"report-ns", required_argument, NULL, 'r'},
	{"help", no_argument, NULL, 'h'},
	{},
};

struct heart {
	char name[NAME_BYTES];
	int nice;
	int cpu;				 /* -1: any */
	bool (*beat)(const struct heart *heart); /* NULL: running is all */
	int pty_master, pty_slave;
	uint64_t period_ns;
	uint64_t last_ns; /* written by the heart, read by the observer */
	uint64_t longest_ns;
	uint64_t beats;
};

static bool beat_rcu(const struct heart *heart)
{
	(void)heart;
	return !syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

static bool beat_kworker(const struct heart *heart)
{
	struct pollfd readable = {.fd = heart->pty_slave, .events = POLLIN};
	char line[8];

	return write(heart->pty_master, "\n", 1) == 1 && poll(&readable, 1, PTY_DEADLINE_MS) == 1 &&
	       read(heart->pty_slave, line, sizeof(line)) > 0;
}

static void pty_open(struct heart *heart)
{
	char name[64];

	heart->pty_master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (heart->pty_master < 0 || grantpt(heart->pty_master) || unlockpt(heart->pty_master) ||
	    ptsname_r(heart->pty_master, name, sizeof(name)))
		die(EXIT_BROKEN, "cannot open a pseudo-terminal (%s): mount devpts on /dev/pts",
		    strerror(errno));
	heart->pty_slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (heart->pty_slave < 0)
		die(EXIT_BROKEN, "cannot open %s: %s", name, strerror(errno));
}

static void settle_in(const struct heart *heart)
{
	cpu_set_t cpus;

	prctl(PR_SET_TIMERSLACK, 1);
	if (setpriority(PRIO_PROCESS, 0, heart->nice))
		die(EXIT_BROKEN, "cannot set nice %d: %s", heart->nice, strerror(errno));
	if (heart->cpu < 0)
		return;
	CPU_ZERO(&cpus);
	CPU_SET(heart->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		die(EXIT_BROKEN, "cannot run on CPU %d: %s", heart->cpu, strerror(errno));
}

static void *heart_run(void *argument)
{
	struct heart *heart = argument;

	settle_in(heart);
	for (;;) {
		uint64_t last = heart->last_ns, now, gap;

		sleep_until(last + heart->period_ns);
		if (heart->beat && !heart->beat(heart))
			die(EXIT_BROKEN, "class %s cannot beat: %s", heart->name, strerror(errno));
		now = clock_ns(CLOCK_MONOTONIC);
		gap = now - last - heart->period_ns;
		if (gap > heart->longest_ns)
			__atomic_store_n(&heart->longest_ns, gap, __ATOMIC_RELAXED);
		__atomic_add_fetch(&heart->beats, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&heart->last_ns, now, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void report(struct heart *hearts, size_t count, bool final)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	for (size_t i = 0; i < count; i++) {
		struct heart *heart = hearts + i;
		uint64_t last = __atomic_load_n(&heart->last_ns, __ATOMIC_ACQUIRE);
		uint64_t longest = __atomic_load_n(&heart->longest_ns, __ATOMIC_RELAXED);
		uint64_t open_gap =
			now > last + heart->period_ns ? now - last - heart->period_ns : 0;

		printf("{\"class\":\"%s\",\"beats\":%llu,\"longestGapNs\":%llu,\"final\":%s}\n",
		       heart->name, (unsigned long long)heart->beats,
		       (unsigned long long)(open_gap > longest ? open_gap : longest),
		       final ? "true" : "false");
	}
	fflush(stdout);
}

static size_t hearts_prepare(struct heart *hearts, uint64_t period_ns)
{
	const struct heart fixed[FIXED_CLASSES] = {
		{.name = "normal", .cpu = -1},
		{.name = "nice+19", .cpu = -1, .nice = 19},
		{.name = "nice-20", .cpu = -1, .nice = -20},
		{.name = "rcu", .cpu = -1, .beat = beat_rcu},
		{.name = "kworker", .cpu = -1, .beat = beat_kworker},
	};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t count = FIXED_CLASSES;

	memcpy(hearts, fixed, sizeof(fixed));
	pty_open(hearts + FIXED_CLASSES - 1);
	for (int cpu = 0; cpu < cpus && cpu < CPUS_MAX; cpu++, count++) {
		hearts[count] = (struct heart){.cpu = cpu};
		snprintf(hearts[count].name, NAME_BYTES, "pinned-%d", cpu);
	}
	for (size_t i = 0; i < count; i++)
		hearts[i].period_ns = period_ns;
	return count;
}

static void hearts_start(struct heart *hearts, size_t count)
{
	pthread_attr_t ordinary;
	struct sched_param none = {};
	pthread_t thread;

	pthread_attr_init(&ordinary);
	pthread_attr_setinheritsched(&ordinary, PTHREAD_EXPLICIT_SCHED);
	pthread_attr_setschedpolicy(&ordinary, SCHED_OTHER);
	pthread_attr_setschedparam(&ordinary, &none);
	for (size_t i = 0; i < count; i++) {
		hearts[i].last_ns = clock_ns(CLOCK_MONOTONIC);
		if (pthread_create(&thread, &ordinary, heart_run, hearts + i))
			die(EXIT_BROKEN, "cannot start class %s", hearts[i].name);
	}
}

int main(int argc, char **argv)
{
	uint64_t duration_ns = 0, period_ns = DEFAULT_PERIOD_NS, report_ns = 0, now, end;
	struct heart *hearts = calloc(FIXED_CLASSES + CPUS_MAX, sizeof(*hearts));
	size_t count;
	int letter;

	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (letter == 'd')
			duration_ns = parse_number("--duration-ns", optarg, 1, UINT64_MAX / 4);
		else if (letter == 'n')
			period_ns = parse_number("--period-ns", optarg, 1, NSEC_PER_SEC);
		else if (letter == 'r')
			report_ns = parse_number("--report-ns", optarg, 1, UINT64_MAX / 4);
		else if (letter == 'h')
			return fputs(help_text, stdout) < 0;
		else
			die(EXIT_USAGE, "%s", help_text);
	}
	if (!duration_ns || !hearts)
		die(EXIT_USAGE, "--duration-ns is required: see --help");
	become_observer(OBSERVER_PRIORITY);
	count = hearts_prepare(hearts, period_ns);
	hearts_start(hearts, count);
	end = clock_ns(CLOCK_MONOTONIC) + duration_ns;
	while ((now = clock_ns(CLOCK_MONOTONIC)) < end) {
		sleep_until(report_ns && now + report_ns < end ? now + report_ns : end);
		if (clock_ns(CLOCK_MONOTONIC) < end)
			report(hearts, count, false);
	}
	report(hearts, count, true);
	_exit(0);
}
