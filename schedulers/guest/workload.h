/* SPDX-License-Identifier: GPL-2.0 */
/* The workload generator's parts: the parsed specification, one worker's record, the report. */
#ifndef SCHEDCP_WORKLOAD_H
#define SCHEDCP_WORKLOAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	GROUPS_MAX = 256,
	AFTER_MAX = 16,
	GROUP_THREADS_MAX = 256,
	NAME_MAX_BYTES = 64,
	PATH_MAX_BYTES = 256,
	QUANTILES = 7,
	SAMPLES_MAX = 65536,
};

/* Times in ns, drawn by linear interpolation between the quantiles 0 25 50 75 90 99 100 %. */
struct distribution {
	uint64_t at[QUANTILES];
};

struct group {
	char name[NAME_MAX_BYTES];
	char cgroup[PATH_MAX_BYTES]; /* "" leaves the workers in the caller's cgroup */
	unsigned int threads;
	int nice;
	int cpu; /* -1: any */
	struct distribution burst;
	struct distribution sleep;
	uint64_t total_cpu_ns; /* 0: endless */
	uint64_t start_delay_ns;
	bool paced; /* sleeps count from when the one before was due to end, not from when it did */
	size_t after[AFTER_MAX]; /* groups that must be finished before this one starts */
	size_t after_count;
	struct group *serves;	 /* whose requests these answer; NULL: nobody's */
	struct group *served_by; /* the other way round */
	size_t first;		 /* index of the first worker */
};

struct spec {
	uint64_t seed;
	uint64_t warmup_ns;
	uint64_t duration_ns; /* after the warm-up; 0: until the finite groups are done */
	unsigned int width;   /* so many jobs at once; 0: no worker is a job */
	bool sum;	      /* report all groups as one */
	size_t group_count;
	struct group groups[GROUPS_MAX];
};

/*
 * Shared between the observer and one worker process. Each field has one writer at a time; where a
 * request is answered, the bell says whose turn it is.
 */
struct worker {
	uint32_t bell;	       /* a futex: see enum bell; of who serves, a count of requests */
	uint64_t began_ns;     /* CLOCK_MONOTONIC: when its work was there to be done */
	uint64_t finished_ns;  /* CLOCK_MONOTONIC; 0: not yet */
	uint64_t sample_count; /* may exceed SAMPLES_MAX: the rest was not kept */
	uint64_t due_ns;       /* when the present cycle's sleep was to end; 0: it has none */
	uint64_t woken_ns;     /* when it did; 0: not yet */
	uint64_t lateness_ns[SAMPLES_MAX];
	uint64_t response_ns[SAMPLES_MAX];
	/* the observer's */
	pid_t pid;
	uint64_t cpu_begin_ns;
	uint64_t cpu_end_ns;
	uint64_t samples_seen; /* sample_count at the end; the worker may still go on */
	/* of a cycle that was overdue at the end; 0: it was not */
	uint64_t open_lateness_ns;
	uint64_t open_response_ns;
};

enum bell {
	BELL_SILENT = 0,
	BELL_REQUESTED = 1, /* the worker waits to be served */
	BELL_RUNG = 2,	    /* go on */
};

struct stage {
	pthread_barrier_t barrier;
	uint64_t ready;		 /* workers that are about to wait at the barrier */
	uint64_t record_from_ns; /* CLOCK_MONOTONIC, set before the barrier opens */
	uint64_t started_ns;
};

/* workload_spec_common.c: exits with 64 and the line's number when the text is wrong. */
void spec_read(struct spec *spec, const char *path);

/* What one worker process is told. */
struct part {
	const struct group *group;
	struct stage *stage;
	struct worker *workers; /* all of them */
	struct worker *worker;
	uint64_t random;
	uint64_t paced_ns; /* when the last sleep was due to end */
	bool is_job;
};

/* workload_worker_common.c: the life of one worker process; does not return. */
void worker_run(struct part *part) __attribute__((noreturn));
uint64_t duration_draw(const struct distribution *distribution, uint64_t *random);
/* When the next sleep of the worker is to end; now when it is overdue, 0 when it never sleeps. */
uint64_t next_due_ns(struct part *part);
void spin_for(uint64_t cpu_time_ns);
void sample_add(struct worker *worker, uint64_t lateness_ns, uint64_t response_ns);

/* workload_pairs_common.c: requests, those who answer them, and bells. */
void bell_ring(struct worker *worker);
void bell_await(struct worker *worker, uint32_t while_value);
void requests_make(struct part *part) __attribute__((noreturn));
void requests_serve(struct part *part) __attribute__((noreturn));

/* workload_report_common.c: one JSON line for the group. */
void group_report(const struct group *group, const struct worker *workers, uint64_t started_ns);

#endif
