/* SPDX-License-Identifier: GPL-2.0 */
/* What the loader's files share: the outcome table, the options, and the steps in their order. */
#ifndef SCHEDCP_LOADER_H
#define SCHEDCP_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "json.h"

struct bpf_object;
struct bpf_map;
struct bpf_link;

/* Exit codes: a public contract, listed in --help from the table in options.c. */
enum outcome {
	OUTCOME_DETACHED = 0,
	OUTCOME_INTERNAL = 1,
	OUTCOME_DIGEST_MISMATCH = 10,
	OUTCOME_OBJECT_INVALID = 11,
	OUTCOME_PROGRAM_REFUSED = 12,
	OUTCOME_MAP_REFUSED = 13,
	OUTCOME_STRUCT_OPS_REFUSED = 14,
	OUTCOME_KNOB_REFUSED = 15,
	OUTCOME_FOREIGN_SCHEDULER = 16,
	OUTCOME_LOAD_FAILED = 17,
	OUTCOME_ATTACH_FAILED = 18,
	OUTCOME_UNSUPPORTED = 19,
	OUTCOME_EJECTED = 20,
	OUTCOME_RESTART_REQUESTED = 21,
	OUTCOME_LEASE_EXPIRED = 22,
	OUTCOME_PARENT_GONE = 23,
	OUTCOME_PROGRAM_ENDED = 24,
	OUTCOME_USAGE = 64,
};

/* The CamelCase word for an outcome, as it appears in "code" and "reason". */
const char *outcome_name(enum outcome outcome);

enum { KNOBS_MAX = 64, FAILURE_MESSAGE_MAX = 1024, OPS_NAME_MAX = 128 };

struct options {
	const char *object_path;
	const char *program_path;     /* in place of an object */
	const char *ops;	      /* what the program's scheduler must be called */
	char **words;		      /* the program's argument list, its name first */
	const char *digest;	      /* 64 hex digits, without the "sha256:" */
	const char *knobs[KNOBS_MAX]; /* NAME=VALUE */
	size_t knob_count;
	uint32_t timeout_ms; /* 0: as the object says */
	uint32_t lease_ms;   /* 0: no lease, standard input is not watched */
	int rt_priority;     /* 0: stay in the caller's class */
	int parent;	     /* whose renewals are the lease */
	const char *expected_file;
	const char *target_cgroups_file;
};

struct failure {
	enum outcome outcome;
	char message[FAILURE_MESSAGE_MAX];
};

/* Fill `failure` (printf-style) and return false, so that `return fail(...)` ends a step. */
bool fail(struct failure *failure, enum outcome outcome, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* options.c: exits by itself on --help; false on wrong usage. */
bool options_parse(struct options *options, int argc, char **argv, struct failure *failure);

/* object.c: the file's bytes are read once; what is digested is what is opened. */
struct object_file {
	void *data;
	size_t size;
	char digest[65];
};
bool object_file_read(struct object_file *file, const char *path, struct failure *failure);
struct bpf_object *object_open(const struct object_file *file, struct failure *failure);

/* checks.c: refuse whatever a scheduler does not need. Returns the struct_ops map, or NULL. */
struct bpf_map *object_check(const struct bpf_object *object, struct failure *failure);

/* knobs.c */
bool knob_set(struct bpf_object *object, const char *assignment, struct failure *failure);
/* Set an integer member of the struct_ops table before load; false when there is no such member. */
bool ops_set_integer(const struct bpf_object *object, struct bpf_map *ops, const char *member,
		     uint64_t value);
void ops_name(const struct bpf_object *object, const struct bpf_map *ops, char name[OPS_NAME_MAX]);

/* inputs.c: make a loaded hash map's content equal to the file's lines; no map, no reading. */
bool inputs_apply(struct bpf_object *object, const struct options *options,
		  struct failure *failure);

/* sysfs.c: the kernel's own account, under /sys/kernel/sched_ext. */
struct kernel_state {
	bool supported;
	char state[32]; /* enabled, enabling, disabling, disabled */
	char ops[OPS_NAME_MAX];
	unsigned long long enable_seq;
	unsigned long long nr_rejected;
	unsigned long long hotplug_seq;
};
void kernel_state_read(struct kernel_state *state);

/* kernel_log.c: the "sched_ext:" lines of the kernel's log; "" when there are none. */
enum { LOG_LINE_MAX = 1024, LOG_TEXT_MAX = 4096 };
enum {
	EXIT_KIND_UNKNOWN = -1,
	EXIT_KIND_BY_USER = 64,
	EXIT_KIND_BY_KERNEL = 66,
	EXIT_KIND_FIRST_ERROR = 1024
};
/* Remember the newest line; false when the log may not be read. */
bool kernel_log_mark(char mark[LOG_LINE_MAX]);
/* Return the lines after `mark`. */
void kernel_log_read(const char *mark, char *text, size_t size);
/* Return the exit kind that the lines give for `ops`, and their words for it. */
int kernel_log_reason(const char *log, const char *ops, char *reason, size_t size);

/* report.c: what goes out as events. */
void report_failure(struct json *json, const struct failure *failure);
void report_warning(struct json *json, const char *code, const char *message);
void report_loaded(struct json *json, const struct bpf_object *object, const char *ops);
void report_stats(struct json *json, const struct bpf_object *object,
		  const struct kernel_state *state);
void report_detached(struct json *json, enum outcome outcome, const struct kernel_state *state);

/* lift.c: make a parent real-time that is late with its renewals, as long as it is. */
struct lift {
	bool lifted;
	bool tried; /* once for each time that the parent is late */
	long long late_at_ms;
};
void lift_look(struct lift *lift, const struct options *options, struct json *json,
	       long long now_ms, long long late_ms);
void lift_end(struct lift *lift, const struct options *options);
/* Put all threads of a process into a class; true when one changed. */
bool process_schedule(int process, int policy, int priority);

/*
 * hold.c: keep the link, or the program that has it, until something ends it; it is gone when this
 * returns.
 */
enum { CHILD_SAID_MAX = 64 };
struct holding {
	const struct options *options;
	struct bpf_object *object; /* NULL when a program is held */
	struct bpf_link *link;
	int child; /* its process and group; 0: none */
	int child_fd;
	char child_said[CHILD_SAID_MAX]; /* how it ended */
	struct json *json;
	char ops[OPS_NAME_MAX];
	unsigned long long enable_seq;
	int signal_fd;
	char log_mark[LOG_LINE_MAX];
	struct lift lift;
};
/* False when a signal or the parent's end came before anything is attached. */
bool still_wanted(const struct holding *holding, struct failure *failure);
enum outcome hold(struct holding *holding);
/* Put the kernel's own word, if it ended the scheduler, before `outcome`; report such an end. */
enum outcome exit_judge(const struct holding *holding, enum outcome outcome);
/* End what is held, wait until the kernel is done with it, and lower a parent that was lifted. */
void let_go(struct holding *holding, struct kernel_state *state);
/* Wait until a program has attached its scheduler; false when that will not be. */
bool child_attached(struct holding *holding, struct kernel_state *state, struct failure *failure);

/* child.c: a program that loads its scheduler by itself. */
bool child_start(struct holding *holding, const struct object_file *file, struct failure *failure);
void child_end(struct holding *holding);

#endif
