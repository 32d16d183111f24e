// SPDX-License-Identifier: GPL-2.0
/*
 * workload: groups of workers described by a small text file, and what each group got.
 *
 * The observer is real-time: it forks every worker, releases them at one barrier, reads their CPU
 * clocks at the edges of the recorded window, and ends them. It is not scheduled by the scheduler
 * that it measures.
 */
#include "workload.h"
#include "guest_common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OBSERVER_PRIORITY = 60, PID_TEXT_BYTES = 16, SEED_STRIDE = 1000003 };

#define READY_POLL_NS	  (NSEC_PER_SEC / 100)
#define READY_DEADLINE_NS (60 * NSEC_PER_SEC)

static const char help_text[] =
	"usage: workload SPEC\n"
	"\n"
	"Run the groups of SPEC and print one JSON line for each: cpuTimeNs, finished, makespanNs\n"
	"and turnaroundMeanNs (finite groups), longestNs (most CPU time of one), wakeups, "
	"wakeupP50Ns/P99Ns/P999Ns/MaxNs (timer due to running) and\n"
	"response... (timer due to burst done); a wait that is open at the end counts in both as\n"
	"far as it went. Needs root: the observer is real-time.\n"
	"\n"
	"SPEC has one item a line, # starts a comment:\n"
	"  seed N           of the random numbers (0)\n"
	"  warmup_ns N      not recorded (0)\n"
	"  duration_ns N    of the recorded window after it; without it the run lasts until the\n"
	"                   finite groups are done\n"
	"  sum 1            report all groups as one, named sum (0)\n"
	"  width N          finite groups are jobs: at most N at once, in the order of their "
	"lines\n"
	"  group NAME [threads=N] burst_ns=DIST [sleep_ns=DIST] [nice=N] [cpu=N] [cgroup=PATH]\n"
	"             [total_cpu_ns=N] [start_delay_ns=N] [paced=1] [after=GROUP,...] "
	"[serves=GROUP]\n"
	"\n"
	"DIST is fixed:NS or quantiles:Q0,Q25,Q50,Q75,Q90,Q99,Q100. A worker sleeps, then burns "
	"the\n"
	"burst as CPU time of its own thread, for ever or until total_cpu_ns is used. Paced "
	"sleeps\n"
	"begin when the one before was due to end, whatever came between. A job starts\n"
	"once the groups that it comes after are finished. Where one group serves another, each "
	"of\n"
	"the other's workers sleeps, asks, is answered after a burst of who serves it, and then\n"
	"burns its own: wakeup is from the answer, response from the question. cgroup is a path\n"
	"below /sys/fs/cgroup; its last part is made when it is missing.\n"
	"Exit codes: 0 done, 1 the machine is broken, 64 wrong usage.\n";

struct run {
	const struct spec *spec;
	struct stage *stage;
	struct worker *workers; /* group after group */
	size_t worker_count;
};

static void *shared_allocate(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		die(EXIT_BROKEN, "cannot share %zu bytes: %s", size, strerror(errno));
	return memory;
}

static void cgroup_join(const char *cgroup, pid_t pid)
{
	char path[PATH_MAX_BYTES + 64], text[PID_TEXT_BYTES];
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", cgroup);
	if (mkdir(path, 0755) && errno != EEXIST)
		die(EXIT_BROKEN, "cannot make %s: %s", path, strerror(errno));
	strcat(path, "/cgroup.procs");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	snprintf(text, sizeof(text), "%d", pid);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(EXIT_BROKEN, "cannot move a worker to %s: %s", path, strerror(errno));
	close(fd);
}

static bool group_is_job(const struct run *run, const struct group *group)
{
	return run->spec->width && group->total_cpu_ns;
}

static void worker_fork(const struct run *run, const struct group *group, struct worker *worker)
{
	uint64_t index = (uint64_t)(worker - run->workers) + 1;
	struct part part = {
		.group = group,
		.stage = run->stage,
		.workers = run->workers,
		.worker = worker,
		.random = run->spec->seed + index * SEED_STRIDE,
		.is_job = group_is_job(run, group),
	};
	pid_t pid = fork();

	if (pid < 0)
		die(EXIT_BROKEN, "cannot fork: %s", strerror(errno));
	if (!pid)
		worker_run(&part);
	worker->pid = pid;
	if (*group->cgroup)
		cgroup_join(group->cgroup, pid);
}

static void workers_fork(const struct run *run)
{
	for (size_t i = 0; i < run->spec->group_count; i++) {
		const struct group *group = run->spec->groups + i;

		for (unsigned int n = 0; n < group->threads; n++)
			worker_fork(run, group, run->workers + group->first + n);
	}
}

static uint64_t worker_cpu_ns(const struct worker *worker)
{
	clockid_t clock;

	if (clock_getcpuclockid(worker->pid, &clock))
		die(EXIT_BROKEN, "cannot read the CPU clock of worker %d", worker->pid);
	return clock_ns(clock);
}

static bool group_is_done(const struct run *run, const struct group *group)
{
	for (unsigned int n = 0; n < group->threads; n++)
		if (!run->workers[group->first + n].finished_ns)
			return false;
	return true;
}

static bool finite_done(const struct run *run)
{
	for (size_t i = 0; i < run->spec->group_count; i++)
		if (run->spec->groups[i].total_cpu_ns && !group_is_done(run, run->spec->groups + i))
			return false;
	return true;
}

static bool job_is_ready(const struct run *run, const struct group *group)
{
	for (size_t i = 0; i < group->after_count; i++)
		if (!group_is_done(run, run->spec->groups + group->after[i]))
			return false;
	return true;
}

/* Start as many jobs as may run: the observer is who hands out work, as make does, at no cost. */
static void jobs_start(const struct run *run)
{
	unsigned int running = 0;

	for (size_t i = 0; i < run->worker_count; i++)
		running += run->workers[i].bell == BELL_RUNG && !run->workers[i].finished_ns;
	for (size_t i = 0; i < run->spec->group_count; i++) {
		const struct group *group = run->spec->groups + i;

		if (!group_is_job(run, group) || !job_is_ready(run, group))
			continue;
		for (unsigned int n = 0; n < group->threads && running < run->spec->width; n++) {
			struct worker *worker = run->workers + group->first + n;

			if (worker->bell != BELL_SILENT)
				continue;
			worker->began_ns = clock_ns(CLOCK_MONOTONIC);
			bell_ring(worker);
			running++;
		}
	}
}

/* A worker that could not settle in says why on standard error and exits with another code. */
static void workers_check(void)
{
	siginfo_t info = {};

	if (!waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid &&
	    (info.si_code != CLD_EXITED || info.si_status))
		die(EXIT_BROKEN, "worker %d ended with %d before its time", info.si_pid,
		    info.si_status);
}

/* Let every worker reach the barrier, however slowly, before time starts. */
static void workers_await(const struct run *run)
{
	uint64_t deadline = clock_ns(CLOCK_MONOTONIC) + READY_DEADLINE_NS;

	do {
		sleep_until(clock_ns(CLOCK_MONOTONIC) + READY_POLL_NS);
		workers_check();
		if (clock_ns(CLOCK_MONOTONIC) > deadline)
			die(EXIT_BROKEN, "only %llu of %zu workers ran within 60 s",
			    (unsigned long long)run->stage->ready, run->worker_count);
	} while (__atomic_load_n(&run->stage->ready, __ATOMIC_ACQUIRE) < run->worker_count);
	sleep_until(clock_ns(CLOCK_MONOTONIC) + READY_POLL_NS);
}

/* Wait for a child that finishes or ends, or for the time; SIGCHLD is blocked. */
static void wait_until(uint64_t due_ns)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);
	uint64_t left = due_ns > now ? due_ns - now : 0;
	struct timespec timeout = {
		.tv_sec = (time_t)(left / NSEC_PER_SEC),
		.tv_nsec = (long)(left % NSEC_PER_SEC),
	};
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	if (left)
		sigtimedwait(&child, NULL, &timeout);
}

/* Whoever is overdue at the end waits for longest: without this, waiting for ever looks best. */
static void open_cycle_note(struct worker *worker, uint64_t record_from_ns, uint64_t now)
{
	uint64_t due = __atomic_load_n(&worker->due_ns, __ATOMIC_ACQUIRE);
	uint64_t woken = __atomic_load_n(&worker->woken_ns, __ATOMIC_ACQUIRE);

	if (!due || due < record_from_ns || due >= now)
		return;
	worker->open_lateness_ns = (woken ? woken : now) - due;
	worker->open_response_ns = now - due;
}

static void observe(const struct run *run)
{
	const struct spec *spec = run->spec;
	uint64_t end =
		spec->duration_ns ? run->stage->record_from_ns + spec->duration_ns : UINT64_MAX;

	sleep_until(run->stage->record_from_ns);
	for (size_t i = 0; i < run->worker_count; i++)
		run->workers[i].cpu_begin_ns =
			spec->warmup_ns ? worker_cpu_ns(run->workers + i) : 0;
	for (;;) {
		uint64_t now = clock_ns(CLOCK_MONOTONIC);

		if (spec->width)
			jobs_start(run);
		if (now >= end || (!spec->duration_ns && finite_done(run)))
			break;
		wait_until(end < now + NSEC_PER_SEC ? end : now + NSEC_PER_SEC);
		workers_check();
	}
	for (size_t i = 0; i < run->worker_count; i++) {
		struct worker *worker = run->workers + i;

		worker->cpu_end_ns = worker_cpu_ns(worker);
		worker->samples_seen = __atomic_load_n(&worker->sample_count, __ATOMIC_ACQUIRE);
		open_cycle_note(worker, run->stage->record_from_ns, clock_ns(CLOCK_MONOTONIC));
	}
}

static void workers_end(const struct run *run)
{
	for (size_t i = 0; i < run->worker_count; i++)
		kill(run->workers[i].pid, SIGKILL);
	while (waitpid(-1, NULL, 0) > 0)
		;
}

static void barrier_prepare(struct stage *stage, unsigned int count)
{
	pthread_barrierattr_t shared;

	pthread_barrierattr_init(&shared);
	pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
	if (pthread_barrier_init(&stage->barrier, &shared, count))
		die(EXIT_BROKEN, "cannot make a barrier for %u", count);
}

static void signals_block(void)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
}

static void sum_report(const struct run *run)
{
	struct group sum = {.name = "sum", .threads = (unsigned int)run->worker_count};

	for (size_t i = 0; i < run->spec->group_count; i++)
		sum.total_cpu_ns += run->spec->groups[i].total_cpu_ns;
	group_report(&sum, run->workers, run->stage->started_ns);
}

int main(int argc, char **argv)
{
	struct spec *spec = calloc(1, sizeof(*spec));
	struct run run = {.spec = spec};

	if (argc == 2 && !strcmp(argv[1], "--help"))
		return fputs(help_text, stdout) < 0;
	if (argc != 2 || !spec)
		die(EXIT_USAGE, "%s", help_text);
	spec_read(spec, argv[1]);
	for (size_t i = 0; i < spec->group_count; i++)
		run.worker_count += spec->groups[i].threads;
	become_observer(OBSERVER_PRIORITY);
	run.stage = shared_allocate(sizeof(*run.stage));
	run.workers = shared_allocate(run.worker_count * sizeof(*run.workers));
	barrier_prepare(run.stage, (unsigned int)run.worker_count + 1);
	signals_block();
	workers_fork(&run);
	workers_await(&run);
	run.stage->started_ns = clock_ns(CLOCK_MONOTONIC);
	run.stage->record_from_ns = run.stage->started_ns + spec->warmup_ns;
	pthread_barrier_wait(&run.stage->barrier);
	observe(&run);
	for (size_t i = 0; i < spec->group_count && !spec->sum; i++)
		group_report(spec->groups + i, run.workers + spec->groups[i].first,
			     run.stage->started_ns);
	if (spec->sum)
		sum_report(&run);
	fflush(stdout);
	workers_end(&run);
	free(spec);
	return 0;
}
