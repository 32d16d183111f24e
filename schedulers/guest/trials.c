// SPDX-License-Identifier: GPL-2.0
/*
 * trials: what a scheduler must live through.
 *
 * Each trial makes one kind of trouble for a bounded time: bursts after idleness, more runnable
 * tasks than any CPU can serve, tasks whose nice value or affinity changes while they wait or
 * sleep, tasks bound to one CPU, a fork storm, yielding, a real-time hog, control groups that come
 * and go. The conductor is real-time, so that the trouble comes on time under any scheduler. It
 * judges nothing: whether somebody starved is for `heartbeat`, whether the scheduler is still
 * attached is for the kernel to say.
 */
#include "guest_common.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MSEC	  1000000ULL
#define SLEEP_NS  (3 * MSEC)
#define CGROUP_AT "/sys/fs/cgroup/trials"

enum {
	CONDUCTOR_PRIORITY = 65,
	HOG_PRIORITY = 1,
	TASKS_MAX = 160,
	CROWD = 128,
	BURST_TASKS = 64,
	SLEEPERS = 32,
	FORKING_PARENTS = 3,
	FORKS_EACH = 400,
	CGROUPS = 16,
	CGROUP_ROUNDS = 2,
	PATH_BYTES = 128,
	NICE_VALUES = 40,
	NICE_LOWEST = -20,
};

struct crew {
	pid_t pids[TASKS_MAX];
	int count;
	unsigned int random;
	int cpus;
};

typedef void (*life)(int argument);

static unsigned int draw(struct crew *crew, unsigned int below)
{
	crew->random = crew->random * 1103515245u + 12345u;
	return (crew->random >> 16) % below;
}

static void burn_ns(uint64_t ns)
{
	uint64_t until = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ns;

	while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < until)
		for (volatile int i = 0; i < 1000; i++)
			;
}

static void live_spinning(int argument)
{
	(void)argument;
	for (volatile unsigned long i = 0;; i++)
		;
}

static void live_sleeping(int argument)
{
	(void)argument;
	for (;;) {
		sleep_until(clock_ns(CLOCK_MONOTONIC) + SLEEP_NS);
		burn_ns(MSEC / 10);
	}
}

static void live_yielding(int argument)
{
	(void)argument;
	for (;;) {
		for (volatile int i = 0; i < 1000; i++)
			;
		sched_yield();
	}
}

/* Wait until everybody is released, work for a moment, wait again. */
static void live_in_bursts(int gate)
{
	char byte;

	while (read(gate, &byte, 1) == 1)
		burn_ns(MSEC / 2);
}

static void live_forking(int argument)
{
	(void)argument;
	for (int i = 0; i < FORKS_EACH; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		if (pid > 0)
			waitpid(pid, NULL, 0);
	}
	_exit(0);
}

static void live_realtime(int cpu)
{
	struct sched_param parameters = {.sched_priority = HOG_PRIORITY};
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	if (sched_setscheduler(0, SCHED_FIFO, &parameters))
		_exit(EXIT_BROKEN);
	live_spinning(0);
}

static pid_t hire(struct crew *crew, life live, int argument)
{
	pid_t pid = crew->count < TASKS_MAX ? fork() : -1;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		live(argument);
		_exit(0);
	}
	if (pid < 0)
		die(EXIT_BROKEN, "cannot fork task %d: %s", crew->count, strerror(errno));
	crew->pids[crew->count++] = pid;
	return pid;
}

static void hire_many(struct crew *crew, int count, life live, int argument)
{
	while (count-- > 0)
		hire(crew, live, argument);
}

static void dismiss(struct crew *crew)
{
	for (int i = 0; i < crew->count; i++)
		kill(crew->pids[i], SIGKILL);
	for (int i = 0; i < crew->count; i++)
		waitpid(crew->pids[i], NULL, 0);
	crew->count = 0;
}

static void rest(uint64_t ns)
{
	sleep_until(clock_ns(CLOCK_MONOTONIC) + ns);
}

static void bind_to(pid_t pid, int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(pid, sizeof(cpus), &cpus);
}

/* Move a task to one CPU, to a random set of CPUs, or to all of them. */
static void affinity_change(struct crew *crew, pid_t pid)
{
	unsigned int choice = draw(crew, 3);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(draw(crew, crew->cpus), &cpus);
	for (int cpu = 0; choice && cpu < crew->cpus; cpu++)
		if (choice == 2 || draw(crew, 2))
			CPU_SET(cpu, &cpus);
	sched_setaffinity(pid, sizeof(cpus), &cpus);
}

static void churn(struct crew *crew, int times, uint64_t pause_ns)
{
	while (times-- > 0) {
		pid_t pid = crew->pids[draw(crew, crew->count)];

		if (draw(crew, 2))
			affinity_change(crew, pid);
		else
			setpriority(PRIO_PROCESS, pid, NICE_LOWEST + (int)draw(crew, NICE_VALUES));
		rest(pause_ns);
	}
}

static void trial_bursts(struct crew *crew)
{
	char bytes[BURST_TASKS] = {};
	int gate[2];

	if (pipe(gate))
		die(EXIT_BROKEN, "cannot make a pipe: %s", strerror(errno));
	hire_many(crew, BURST_TASKS, live_in_bursts, gate[0]);
	for (int i = 0; i < 5; i++) {
		rest(100 * MSEC);
		if (write(gate[1], bytes, sizeof(bytes)) != sizeof(bytes))
			die(EXIT_BROKEN, "cannot release the burst: %s", strerror(errno));
	}
	rest(100 * MSEC);
	close(gate[0]);
	close(gate[1]);
}

static void trial_waiting_churn(struct crew *crew)
{
	hire_many(crew, 3 * crew->cpus, live_spinning, 0);
	churn(crew, 200, 5 * MSEC);
}

static void trial_sleeping_churn(struct crew *crew)
{
	hire_many(crew, SLEEPERS, live_sleeping, 0);
	hire_many(crew, crew->cpus, live_spinning, 0);
	churn(crew, 200, 3 * MSEC);
}

static void trial_pinned(struct crew *crew)
{
	for (int cpu = 0; cpu < crew->cpus; cpu++) {
		bind_to(hire(crew, live_spinning, 0), cpu);
		bind_to(hire(crew, live_sleeping, 0), cpu);
	}
	hire_many(crew, crew->cpus, live_spinning, 0);
	rest(700 * MSEC);
}

static void trial_crowd(struct crew *crew)
{
	hire_many(crew, CROWD, live_spinning, 0);
	rest(2000 * MSEC);
}

static void trial_forks(struct crew *crew)
{
	hire_many(crew, 2, live_spinning, 0);
	hire_many(crew, FORKING_PARENTS, live_forking, 0);
	for (int i = 0; i < FORKING_PARENTS; i++)
		waitpid(crew->pids[--crew->count], NULL, 0);
}

static void trial_yields(struct crew *crew)
{
	hire_many(crew, crew->cpus, live_yielding, 0);
	hire_many(crew, crew->cpus, live_spinning, 0);
	rest(500 * MSEC);
}

static void trial_realtime(struct crew *crew)
{
	hire_many(crew, 2 * crew->cpus, live_spinning, 0);
	hire(crew, live_realtime, crew->cpus - 1);
	rest(700 * MSEC);
}

static void cgroup_write(const char *cgroup, const char *name, const char *text)
{
	char path[PATH_BYTES];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", cgroup, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(EXIT_BROKEN, "cannot write '%s' to %s: %s", text, path, strerror(errno));
	close(fd);
}

static void cgroup_make(const char *path)
{
	if (mkdir(path, 0755) && errno != EEXIST)
		die(EXIT_BROKEN, "cannot make %s: %s", path, strerror(errno));
}

static void trial_cgroups(struct crew *crew)
{
	char path[PATH_BYTES], text[16];

	cgroup_make(CGROUP_AT);
	cgroup_write(CGROUP_AT, "cgroup.subtree_control", "+cpu");
	for (int round = 0; round < CGROUP_ROUNDS; round++) {
		for (int i = 0; i < CGROUPS; i++) {
			snprintf(path, sizeof(path), "%s/c%d", CGROUP_AT, i);
			cgroup_make(path);
			snprintf(text, sizeof(text), "%d", hire(crew, live_sleeping, 0));
			cgroup_write(path, "cgroup.procs", text);
			snprintf(text, sizeof(text), "%u", 1 + draw(crew, 10000));
			cgroup_write(path, "cpu.weight", text);
			rest(5 * MSEC);
		}
		dismiss(crew);
		for (int i = 0; i < CGROUPS; i++) {
			snprintf(path, sizeof(path), "%s/c%d", CGROUP_AT, i);
			rmdir(path);
		}
	}
	rmdir(CGROUP_AT);
}

static const struct trial {
	const char *name;
	void (*run)(struct crew *crew);
} trials[] = {
	{"bursts", trial_bursts},
	{"waiting-churn", trial_waiting_churn},
	{"sleeping-churn", trial_sleeping_churn},
	{"pinned", trial_pinned},
	{"forks", trial_forks},
	{"yields", trial_yields},
	{"realtime", trial_realtime},
	{"cgroups", trial_cgroups},
	{"crowd", trial_crowd},
};

static const char help_text[] =
	"usage: trials [--seed N] [--attached]\n"
	"\n"
	"Run every trial in turn and print one JSON line for each: trial, tookNs. Needs root: the\n"
	"conductor is real-time. /sys/fs/cgroup must be a cgroup2 with the cpu controller enabled\n"
	"for the root's children. With --attached stop as soon as no scheduler is attached.\n"
	"Exit codes: 0 done, 1 a trial could not be carried out, 64 wrong usage.\n";

static const struct option long_options[] = {
	{"seed", required_argument, NULL, 's'},
	{"attached", no_argument, NULL, 'a'},
	{"help", no_argument, NULL, 'h'},
	{},
};

static bool scheduler_attached(void)
{
	char state[16] = {};
	int fd = open("/sys/kernel/sched_ext/state", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, state, sizeof(state) - 1) < 0)
		die(EXIT_BROKEN, "cannot read the state of sched_ext: %s", strerror(errno));
	close(fd);
	return !strncmp(state, "enabled", strlen("enabled"));
}

int main(int argc, char **argv)
{
	struct crew crew = {.random = 1, .cpus = (int)sysconf(_SC_NPROCESSORS_ONLN)};
	bool attached = false;
	uint64_t begin;
	int letter;

	while ((letter = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		if (letter == 's')
			crew.random = (unsigned int)parse_number("--seed", optarg, 0, UINT32_MAX);
		else if (letter == 'a')
			attached = true;
		else if (letter == 'h')
			return fputs(help_text, stdout) < 0;
		else
			die(EXIT_USAGE, "%s", help_text);
	}
	become_observer(CONDUCTOR_PRIORITY);
	for (size_t i = 0; i < sizeof(trials) / sizeof(*trials); i++) {
		if (attached && !scheduler_attached())
			return 0;
		begin = clock_ns(CLOCK_MONOTONIC);
		trials[i].run(&crew);
		dismiss(&crew);
		printf("{\"trial\":\"%s\",\"tookNs\":%llu}\n", trials[i].name,
		       (unsigned long long)(clock_ns(CLOCK_MONOTONIC) - begin));
		fflush(stdout);
	}
	return 0;
}
