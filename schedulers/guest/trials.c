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
#include "trials.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	CONDUCTOR_PRIORITY = 65,
	CROWD = 128,
	BURST_TASKS = 64,
	MANY = 600,
	MANY_BURSTS = 2,
	BURSTS = 5,
	SLEEPERS = 32,
	FORKING_PARENTS = 3,
	CHANGES = 200,
	NODES_MOST = 64,
	BRISK_EACH = 3, /* for each CPU, half of the time: more than there is */
	DYNASTIES = 3,	/* for each CPU */
};

/* Several times what that work takes; a machine that is done idles, which costs nothing. */
#define MANY_NS (2000 * MSEC)
/*
 * Not as long as the watchdog lets its own worker be late (half of 4.2 s): to be started, a worker
 * may take some rounds of a queue in order of arrival, of 0.64 s each with 32 tasks for each CPU.
 */
#define CROWDED_NS (1200 * MSEC)
/* Longer than the proof's watchdog (4.2 s) takes to see a task that never runs. */
#define SATURATED_NS (7000 * MSEC)
/* Longer than anybody may go without running: enough for the observers, too short for the kernel.
 */
#define SATURATED_BRIEFLY_NS (4500 * MSEC)
#define GENERATIONS_NS	     (3800 * MSEC)

static void rest(uint64_t ns)
{
	sleep_until(clock_ns(CLOCK_MONOTONIC) + ns);
}

static void churn(struct crew *crew, int times, uint64_t pause_ns)
{
	while (times-- > 0 && crew->count) {
		pid_t pid = crew->pids[draw(crew, crew->count)];

		if (draw(crew, 2))
			affinity_change(crew, pid);
		else
			nice_change(crew, pid);
		rest(pause_ns);
	}
}

/* Nobody has anything to do but the hearts. */
static void trial_idle(struct crew *crew)
{
	(void)crew;
	rest(1000 * MSEC);
}

/* Short work on a machine with CPUs to spare: each sleep ends where somebody must be woken. */
static void trial_wakeups(struct crew *crew)
{
	hire_many(crew, crew->cpus, live_sleeping, 0);
	rest(600 * MSEC);
}

/* Half of the CPUs have work: everybody may have one alone. */
static void trial_few(struct crew *crew)
{
	hire_many(crew, crew->cpus > 1 ? crew->cpus / 2 : 1, live_spinning, 0);
	rest(800 * MSEC);
}

/* There is a little more work than CPUs: none may be idle. */
static void trial_spread(struct crew *crew)
{
	hire_many(crew, crew->cpus + 2, live_spinning, 0);
	rest(1200 * MSEC);
}

/* All CPUs are needed, and each task leaves its CPU to another after half a millisecond. */
static void trial_brisk(struct crew *crew)
{
	hire_many(crew, BRISK_EACH * crew->cpus, live_brisk, 0);
	rest(600 * MSEC);
}

static void trial_bursts(struct crew *crew)
{
	char bytes[BURST_TASKS] = {};
	int gate[2];

	if (pipe(gate))
		die(EXIT_BROKEN, "cannot make a pipe: %s", strerror(errno));
	hire_many(crew, BURST_TASKS, live_in_bursts, gate[0]);
	for (int i = 0; i < BURSTS; i++) {
		rest(100 * MSEC);
		if (write(gate[1], bytes, sizeof(bytes)) != sizeof(bytes))
			die(EXIT_BROKEN, "cannot release the burst: %s", strerror(errno));
	}
	rest(100 * MSEC);
	close(gate[0]);
	close(gate[1]);
}

/* More tasks than any queue of a fixed length was made for, all at once, and nothing else to do. */
static void trial_many(struct crew *crew)
{
	static char bytes[MANY];
	int gate[2];

	if (pipe(gate))
		die(EXIT_BROKEN, "cannot make a pipe: %s", strerror(errno));
	hire_many(crew, MANY, live_in_bursts, gate[0]);
	for (int i = 0; i < MANY_BURSTS; i++) {
		rest(100 * MSEC);
		if (write(gate[1], bytes, sizeof(bytes)) != sizeof(bytes))
			die(EXIT_BROKEN, "cannot release the burst: %s", strerror(errno));
		rest(MANY_NS);
	}
	close(gate[0]);
	close(gate[1]);
}

static void trial_waiting_churn(struct crew *crew)
{
	hire_many(crew, 3 * crew->cpus, live_spinning, 0);
	churn(crew, CHANGES, 5 * MSEC);
}

static void trial_sleeping_churn(struct crew *crew)
{
	hire_many(crew, SLEEPERS, live_sleeping, 0);
	hire_many(crew, crew->cpus, live_spinning, 0);
	churn(crew, CHANGES, 3 * MSEC);
}

static void trial_pinned(struct crew *crew)
{
	for (int cpu = 0; cpu < crew->cpus; cpu++) {
		bind_to(crew, hire(crew, live_spinning, 0), cpu);
		bind_to(crew, hire(crew, live_sleeping, 0), cpu);
	}
	hire_many(crew, crew->cpus, live_spinning, 0);
	rest(700 * MSEC);
}

static void trial_crowd(struct crew *crew)
{
	hire_many(crew, CROWD, live_spinning, 0);
	rest(CROWDED_NS);
}

static void trial_forks(struct crew *crew)
{
	hire_many(crew, 2, live_spinning, 0);
	hire_many(crew, FORKING_PARENTS, live_forking, 0);
	while (crew->count > 2)
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
	make_realtime(crew, hire(crew, live_realtime, 0), crew->cpus - 1);
	rest(700 * MSEC);
}

static unsigned int memory_nodes(void)
{
	char path[sizeof("/sys/devices/system/node/node") + 4];
	unsigned int nodes = 0;

	do
		snprintf(path, sizeof(path), "/sys/devices/system/node/node%u", nodes);
	while (!access(path, F_OK) && ++nodes < NODES_MOST);
	return nodes;
}

/* Nobody idles, nobody is alone, and it lasts: whoever is passed over is passed over for good. */
static void saturate(struct crew *crew, uint64_t ns)
{
	effect_add(crew->account, EFFECT_NODES, memory_nodes());
	hire_watched(crew, 2 * crew->cpus, WATCHED_HOG);
	hire_watched(crew, crew->cpus, WATCHED_HOG_NICE);
	hire_watched(crew, (BRISK_EACH - 1) * crew->cpus, WATCHED_BRISK);
	hire_watched(crew, crew->cpus, WATCHED_BRISK_NICE);
	rest(ns);
}

static void trial_saturated(struct crew *crew)
{
	saturate(crew, SATURATED_NS);
}

static void trial_saturated_briefly(struct crew *crew)
{
	saturate(crew, SATURATED_BRIEFLY_NS);
}

/* A few who run now and then, on a machine where each of them finds the CPU free that it left. */
static void trial_spare(struct crew *crew)
{
	effect_add(crew->account, EFFECT_NODES, memory_nodes());
	hire_watched(crew, crew->cpus / 2, WATCHED_BRISK);
	rest(600 * MSEC);
}

/*
 * Somebody is new all the time, and whoever is new works and never sleeps: who has been there for
 * longer must run as well. The heirs are in the process groups of those who were hired.
 */
static void trial_generations(struct crew *crew)
{
	int dynasties = DYNASTIES * crew->cpus;

	hire_many(crew, dynasties, live_in_generations, 0);
	hire_watched(crew, 1, WATCHED_HOG);
	hire_watched(crew, 1, WATCHED_HOG_NICE);
	hire_watched(crew, 1, WATCHED_BRISK);
	hire_watched(crew, 1, WATCHED_BRISK_NICE);
	rest(GENERATIONS_NS);
	for (int i = 0; i < dynasties && i < crew->count; i++)
		if (crew->pids[i] > 0)
			kill(-crew->pids[i], SIGKILL);
}

static const struct trial {
	const char *name;
	void (*run)(struct crew *crew);
} trials[] = {
	{"idle", trial_idle},
	{"wakeups", trial_wakeups},
	{"few", trial_few},
	{"spread", trial_spread},
	{"brisk", trial_brisk},
	{"spare", trial_spare},
	{"calms-down", trial_calms_down},
	{"bursts", trial_bursts},
	{"many", trial_many},
	{"waiting-churn", trial_waiting_churn},
	{"sleeping-churn", trial_sleeping_churn},
	{"pinned", trial_pinned},
	{"forks", trial_forks},
	{"generations", trial_generations},
	{"yields", trial_yields},
	{"realtime", trial_realtime},
	{"hogged-one", trial_hogged_one},
	{"hogged-most", trial_hogged_most},
	{"cgroups", trial_cgroups},
	{"pod", trial_pod},
	{"pods-pass", trial_pods_pass},
	{"throttle", trial_throttle},
	{"crowd", trial_crowd},
	{"saturated", trial_saturated},
	{"hotplug", trial_hotplug},
	{"saturated-briefly", trial_saturated_briefly},
};

static const char help_text[] =
	"usage: trials [--seed N] [--attached] TRIAL...\n"
	"\n"
	"Run the trials in turn and print one JSON line for each: trial, tookNs, effects (how "
	"much\n"
	"of the trouble was made, and what was refused), longestGapsNs (by kind of watched task).\n"
	"Needs root: the conductor is real-time. /sys/fs/cgroup must be a cgroup2 with the cpu "
	"controller enabled\n"
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

static const struct trial *trial_named(const char *name)
{
	for (size_t i = 0; i < sizeof(trials) / sizeof(*trials); i++)
		if (!strcmp(trials[i].name, name))
			return trials + i;
	die(EXIT_USAGE, "there is no trial '%s'", name);
}

static void trial_run(struct crew *crew, const struct trial *trial)
{
	struct account seen;
	uint64_t end;

	trial_begins(crew);
	trial->run(crew);
	end = clock_ns(CLOCK_MONOTONIC);
	counts_note(crew->account, crew->before);
	seen = *crew->account; /* before the tasks die, which is no gap */
	dismiss(crew);
	printf("{\"trial\":\"%s\",\"tookNs\":%llu", trial->name,
	       (unsigned long long)(end - crew->begin));
	account_print(&seen, end);
	printf("}\n");
	fflush(stdout);
	memset(crew->account, 0, sizeof(*crew->account));
}

int main(int argc, char **argv)
{
	struct crew crew = {.random = 1};
	bool attached = false;
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
	crew_prepare(&crew);
	for (int i = optind; i < argc; i++) {
		const struct trial *trial = trial_named(argv[i]);

		if (attached && !scheduler_attached())
			return 0;
		trial_run(&crew, trial);
	}
	return 0;
}
