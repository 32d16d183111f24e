// SPDX-License-Identifier: GPL-2.0
/*
 * heartbeat: who did not get to run, and for how long.
 *
 * One thread for each class of task beats at a fixed period: ordinary, nice 19, nice -20, one
 * bound to each CPU, one that waits for an RCU grace period (its kernel threads must run), one that
 * sends a byte through a pseudo-terminal (a kworker must run) and one that has each CPU's own
 * kworker do something. A real-time observer reports each class's longest gap beyond its period,
 * also a gap that is still open.
 */
#include "guest_common.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
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
	FIXED_CLASSES = 6,
	KWORKER_CLASS = 4,
	NAME_BYTES = 32,
	OBSERVER_PRIORITY = 70,
	DEFAULT_PERIOD_NS = 50000000,
	PTY_DEADLINE_MS = 60000,
};

static const char help_text[] =
	"usage: heartbeat [--period-ns N]\n"
	"\n"
	"Beat until SIGTERM, then print one JSON line for each class: class, beats, longestGapNs\n"
	"(beyond the period of 50 ms, open gaps included). Classes: normal, nice+19, nice-20, "
	"rcu,\n"
	"kworker, kworker-each, pinned-CPU. /dev/pts and /proc must be mounted.\n"
	"Exit codes: 0 done, 1 a class could not beat, 64 wrong usage.\n";

static const struct option long_options[] = {
	{"period-ns", required_argument, NULL, 'n'},
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

/* The kernel folds its statistics in a kworker of each CPU, and waits for all of them. */
static bool beat_kworker_each(const struct heart *heart)
{
	int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, "1", 1) == 1;

	(void)heart;
	close(fd);
	return done;
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

static void report(const struct heart *hearts, size_t count)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	for (size_t i = 0; i < count; i++) {
		const struct heart *heart = hearts + i;
		uint64_t last = __atomic_load_n(&heart->last_ns, __ATOMIC_ACQUIRE);
		uint64_t longest = __atomic_load_n(&heart->longest_ns, __ATOMIC_RELAXED);
		uint64_t open_gap =
			now > last + heart->period_ns ? now - last - heart->period_ns : 0;

		printf("{\"class\":\"%s\",\"beats\":%llu,\"longestGapNs\":%llu}\n", heart->name,
		       (unsigned long long)heart->beats,
		       (unsigned long long)(open_gap > longest ? open_gap : longest));
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
		{.name = "kworker-each", .cpu = -1, .beat = beat_kworker_each},
	};
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	size_t count = FIXED_CLASSES;

	memcpy(hearts, fixed, sizeof(fixed));
	pty_open(hearts + KWORKER_CLASS);
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
	struct heart *hearts = calloc(FIXED_CLASSES + CPUS_MAX, sizeof(*hearts));
	uint64_t period_ns = DEFAULT_PERIOD_NS;
	sigset_t end;
	size_t count;
	int letter, got;

	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (letter == 'n')
			period_ns = parse_number("--period-ns", optarg, 1, NSEC_PER_SEC);
		else if (letter == 'h')
			return fputs(help_text, stdout) < 0;
		else
			die(EXIT_USAGE, "%s", help_text);
	}
	if (!hearts)
		die(EXIT_BROKEN, "out of memory");
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	become_observer(OBSERVER_PRIORITY);
	count = hearts_prepare(hearts, period_ns);
	hearts_start(hearts, count);
	sigwait(&end, &got);
	report(hearts, count);
	_exit(0);
}
