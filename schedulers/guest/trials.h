/* SPDX-License-Identifier: GPL-2.0 */
/* The tasks that make trouble in a trial, and the account of the trouble that was really made. */
#ifndef SCHEDCP_TRIALS_H
#define SCHEDCP_TRIALS_H

#include <sched.h>
#include <stdint.h>
#include <sys/types.h>

#define MSEC 1000000ULL

enum { TASKS_MAX = 640 };

/* What a trial did and what was refused; a record lists those that are not zero. */
enum effect {
	EFFECT_TASKS,		/* tasks that the conductor forked */
	EFFECT_FORKS,		/* children that forking tasks had, and that ended */
	EFFECT_BURSTS,		/* bursts that were worked off after a release */
	EFFECT_SLEEPS,		/* sleeps that ended */
	EFFECT_WOKEN,		/* those of watched tasks that are brisk and of nice 0 */
	EFFECT_WOKEN_US,	/* for how long these waited for a CPU then, together */
	EFFECT_WOKEN_MOST_US,	/* and the one that waited longest */
	EFFECT_CROSSED,		/* how many of them were on another memory node than before */
	EFFECT_NODES,		/* memory nodes that this kernel knows */
	EFFECT_YIELDS,		/* returns from sched_yield() */
	EFFECT_NICED,		/* changes of nice that were made */
	EFFECT_BOUND,		/* changes of affinity that were made */
	EFFECT_REALTIME_MS,	/* CPU time of the real-time hog */
	EFFECT_CGROUPS,		/* control groups that were made */
	EFFECT_MOVES,		/* tasks that were moved to a control group */
	EFFECT_IDLE_MS,		/* idle time of all CPUs together */
	EFFECT_SWITCHES,	/* context switches of the machine */
	EFFECT_INTERRUPTS,	/* interrupts that CPUs sent themselves and others to schedule */
	EFFECT_REQUEUED,	/* tasks that were enqueued again without having run */
	EFFECT_WAITED_US,	/* time in which some task waited for a CPU */
	EFFECT_SPEEDS_WATCHED,	/* whether the kernel told of speeds that are asked for */
	EFFECT_SPEEDS,		/* how often the scheduler asked for a speed of a CPU */
	EFFECT_SPEEDS_HIGH,	/* and how often for the highest, or nearly */
	EFFECT_SPEEDS_LEFT,	/* CPUs that were left with such a speed and asked for no other */
	EFFECT_LATE,		/* light tasks that did not run for long beside idle CPUs */
	EFFECT_RELEASED,	/* throttled tasks that ran again after their release */
	EFFECT_OFFLINED,	/* CPUs that were taken off line */
	EFFECT_ONLINED,		/* CPUs that were brought back */
	EFFECT_FORKS_REFUSED,	/* forks that failed */
	EFFECT_CGROUPS_REFUSED, /* control groups that could not be made */
	EFFECT_MOVES_REFUSED,	/* tasks that could not be moved to one */
	EFFECTS,
};

/* Tasks whose gaps are watched, beside the classes of `heartbeat`. */
enum watched {
	WATCHED_HOG,	  /* never sleeps */
	WATCHED_HOG_NICE, /* the same at nice 19 */
	WATCHED_BRISK,	  /* sleeps half of its time, in short bursts */
	WATCHED_BRISK_NICE,
	WATCHED_LIGHT, /* sleeps nearly always */
	WATCHED,
};

/* One watched task; written by the task, read by the conductor. */
struct pulse {
	enum watched kind;
	uint64_t last_ns; /* when it ran last, or when it was to wake */
	uint64_t longest_ns;
};

/* Shared by the conductor and all tasks. */
struct account {
	uint64_t effects[EFFECTS];
	struct pulse pulses[TASKS_MAX];
};

/* The kernel's own counters, to be compared with what they were. */
struct counts {
	uint64_t idle_ms, switches, interrupts, requeued, waited_us;
};

struct crew {
	struct account *account;
	struct counts before; /* what the trial's are compared with */
	uint64_t begin;	      /* of what is counted */
	pid_t pids[TASKS_MAX];
	int count;
	unsigned int random;
	int cpus;
};

struct counts counts_now(void);
void counts_note(struct account *account, struct counts since);

/* What a task does until it is killed; `argument` is the life's own. */
typedef void (*life)(struct account *account, int argument);

void live_spinning(struct account *account, int argument);
void live_sleeping(struct account *account, int argument);
/* Work for as long as it sleeps, and for less than a tick. */
void live_brisk(struct account *account, int argument);
void live_yielding(struct account *account, int argument);
/* Wait at the pipe `argument` until everybody is released, work for a moment, wait again. */
void live_in_bursts(struct account *account, int argument);
void live_forking(struct account *account, int argument);
/* Work for a moment, leave the rest to a child, and end; a process group of its own has them all.
 */
void live_in_generations(struct account *account, int argument);
/* Hog a CPU, from the moment that the conductor makes it real-time. */
void live_realtime(struct account *account, int argument);
/* Run, or run and sleep in turns, and note in pulse `argument` for how long that was impossible. */
void live_watched(struct account *account, int argument);

void crew_prepare(struct crew *crew);
/* From here on the trial counts: the kernel's counters, and how long it takes. */
void trial_begins(struct crew *crew);
unsigned int draw(struct crew *crew, unsigned int below);
void effect_add(struct account *account, enum effect effect, uint64_t amount);
/* Raise an effect to `amount`, if it is less. */
void effect_most(struct account *account, enum effect effect, uint64_t amount);
/* Fork a task, or count the refusal and return -1. */
pid_t hire(struct crew *crew, life live, int argument);
void hire_many(struct crew *crew, int count, life live, int argument);
void hire_watched(struct crew *crew, int count, enum watched kind);
void dismiss(struct crew *crew);
/* Dismiss all but the first `kept` tasks. */
void dismiss_after(struct crew *crew, int kept);
void bind_to(struct crew *crew, pid_t pid, int cpu);
void affinity_set(struct crew *crew, pid_t pid, const cpu_set_t *cpus);
/* Bind a task to a CPU and make it real-time, also when no scheduler lets it run before. */
void make_realtime(struct crew *crew, pid_t pid, int cpu);
/* Move a task to one CPU, to a random set of CPUs, or to all of them. */
void affinity_change(struct crew *crew, pid_t pid);
void nice_change(struct crew *crew, pid_t pid);
/* Write `,"effects":{...},"longestGapsNs":{...}`; a gap that is open at `now` counts. */
void account_print(const struct account *account, uint64_t now);

void trial_cgroups(struct crew *crew);
void trial_pod(struct crew *crew);
void trial_pods_pass(struct crew *crew);
void trial_throttle(struct crew *crew);
void trial_hogged_one(struct crew *crew);
void trial_hogged_most(struct crew *crew);
void trial_hotplug(struct crew *crew);
void trial_calms_down(struct crew *crew);

#endif
