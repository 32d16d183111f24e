// SPDX-License-Identifier: GPL-2.0
/*
 * schedcp-loader: attach one verified sched_ext scheduler and hold its only link.
 *
 * The process is the scheduler's lifeline. It opens the very bytes whose digest was approved,
 * refuses programs and maps that a scheduler does not need, sets knobs, attaches, and then does
 * nothing but renew a lease and watch. Nothing is pinned, so that the kernel's own scheduler is
 * back whenever this process ends, by whatever cause. A program that loads its scheduler by itself
 * is held in the same way: it is run from the approved bytes, and ends with this process.
 *
 * Events are JSON lines on standard output; each exit code says one thing (options.c has the
 * table, and --help prints it):
 *   0 Detached, 1 Internal, 10 DigestMismatch, 11 ObjectInvalid, 12 ProgramRefused,
 *   13 MapRefused, 14 StructOpsRefused, 15 KnobRefused, 16 ForeignScheduler, 17 LoadFailed,
 *   18 AttachFailed, 19 Unsupported, 20 Ejected, 21 RestartRequested, 22 LeaseExpired,
 *   23 ParentGone, 24 ProgramEnded, 64 Usage.
 */
#include "loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { ENABLE_POLLS = 100, ENABLE_POLL_MS = 20 };

/* Complain on standard error only: standard output carries events and nothing else. */
static int libbpf_print(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, args);
}

static int signals_prepare(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* The loader must run when the scheduler that it holds lets nobody else run. */
static void survive(const struct options *options, struct json *json)
{
	struct sched_param parameters = {.sched_priority = options->rt_priority};

	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		report_warning(json, "MemoryNotLocked", strerror(errno));
	if (options->rt_priority && sched_setscheduler(0, SCHED_FIFO, &parameters))
		report_warning(json, "RealTimeRefused", strerror(errno));
}

static bool nobody_attached(struct kernel_state *state, struct failure *failure)
{
	kernel_state_read(state);
	if (!state->supported)
		return fail(failure, OUTCOME_UNSUPPORTED,
			    "this kernel has no /sys/kernel/sched_ext: it needs "
			    "CONFIG_SCHED_CLASS_EXT");
	if (strcmp(state->state, "disabled"))
		return fail(failure, OUTCOME_FOREIGN_SCHEDULER,
			    "sched_ext is '%s' with scheduler '%s': its owner must remove it first",
			    state->state, state->ops);
	return true;
}

static bool configure(struct bpf_object *object, struct bpf_map *ops, const struct options *options,
		      struct failure *failure)
{
	for (size_t i = 0; i < options->knob_count; i++)
		if (!knob_set(object, options->knobs[i], failure))
			return false;
	if (options->timeout_ms && !ops_set_integer(object, ops, "timeout_ms", options->timeout_ms))
		return fail(failure, OUTCOME_STRUCT_OPS_REFUSED, "the table has no timeout_ms");
	return true;
}

/* Registering can succeed for a scheduler that is already dead: ask the kernel whether it lives. */
static bool enabled_confirm(const char *ops, struct kernel_state *state)
{
	for (int i = 0; i < ENABLE_POLLS; i++) {
		kernel_state_read(state);
		if (!strcmp(state->state, "enabled") && !strcmp(state->ops, ops))
			return true;
		if (!strcmp(state->state, "disabled"))
			return false;
		poll(NULL, 0, ENABLE_POLL_MS);
	}
	return false;
}

static bool read_approved(struct object_file *file, const char *path, const char *digest,
			  struct failure *failure)
{
	if (!object_file_read(file, path, failure))
		return false;
	if (!strcmp(file->digest, digest))
		return true;
	free(file->data);
	return fail(failure, OUTCOME_DIGEST_MISMATCH,
		    "%s is sha256:%s, but sha256:%s was approved: fetch it again", path,
		    file->digest, digest);
}

static void report_opened(const struct holding *holding, const struct object_file *file)
{
	char digest[sizeof("sha256:") + sizeof(file->digest)];

	snprintf(digest, sizeof(digest), "sha256:%s", file->digest);
	json_begin(holding->json, "opened");
	json_string(holding->json, "ops", holding->ops);
	json_string(holding->json, "digest", digest);
	json_send(holding->json, true);
}

/* Read, digest, open and check; the object is in `holding` and its table in `ops`. */
static bool open_checked(struct holding *holding, struct bpf_map **ops, struct failure *failure)
{
	const struct options *options = holding->options;
	struct object_file file = {};

	if (!read_approved(&file, options->object_path, options->digest, failure))
		return false;
	holding->object = object_open(&file, failure);
	free(file.data);
	*ops = holding->object ? object_check(holding->object, failure) : NULL;
	if (!*ops)
		return false;
	ops_name(holding->object, *ops, holding->ops);
	report_opened(holding, &file);
	return true;
}

static bool load(struct holding *holding, struct bpf_map *ops, struct failure *failure)
{
	struct kernel_state state;

	if (!configure(holding->object, ops, holding->options, failure) ||
	    !nobody_attached(&state, failure))
		return false;
	/* A CPU that came or went since then makes the kernel refuse instead of guess. */
	ops_set_integer(holding->object, ops, "hotplug_seq", state.hotplug_seq);
	if (bpf_object__load(holding->object))
		return fail(failure, OUTCOME_LOAD_FAILED,
			    "the kernel refused the object (%s): its reasons are on standard error",
			    strerror(errno));
	if (!inputs_apply(holding->object, holding->options, failure))
		return false;
	report_loaded(holding->json, holding->object, holding->ops);
	return true;
}

static void report_attached(struct holding *holding, const struct kernel_state *state)
{
	holding->enable_seq = state->enable_seq;
	json_begin(holding->json, "attached");
	json_string(holding->json, "ops", holding->ops);
	json_unsigned(holding->json, "enableSeq", state->enable_seq);
	json_unsigned(holding->json, "hotplugSeq", state->hotplug_seq);
	json_send(holding->json, true);
}

static bool attach(struct holding *holding, struct bpf_map *ops, struct failure *failure)
{
	struct kernel_state state;

	if (!kernel_log_mark(holding->log_mark) &&
	    !bpf_object__find_map_by_name(holding->object, "schedcp_exit"))
		report_warning(holding->json, "KernelLogUnreadable", strerror(errno));
	if (!still_wanted(holding, failure))
		return false;
	holding->link = bpf_map__attach_struct_ops(ops);
	if (!holding->link)
		return fail(failure, OUTCOME_ATTACH_FAILED, "the kernel did not enable '%s': %s",
			    holding->ops, strerror(errno));
	if (!enabled_confirm(holding->ops, &state))
		return true; /* it is dead already: hold() will see that and say why */
	report_attached(holding, &state);
	return true;
}

/* Run the program and wait for its scheduler; what has failed has no process left behind it. */
static bool start_program(struct holding *holding, struct failure *failure)
{
	const struct options *options = holding->options;
	struct object_file file = {};
	struct kernel_state state;
	bool started;

	if (!read_approved(&file, options->program_path, options->digest, failure))
		return false;
	snprintf(holding->ops, sizeof(holding->ops), "%s", options->ops);
	report_opened(holding, &file);
	if (!kernel_log_mark(holding->log_mark))
		report_warning(holding->json, "KernelLogUnreadable", strerror(errno));
	started = nobody_attached(&state, failure) && still_wanted(holding, failure) &&
		  child_start(holding, &file, failure);
	free(file.data);
	if (!started)
		return false;
	if (child_attached(holding, &state, failure)) {
		report_attached(holding, &state);
		return true;
	}
	let_go(holding, &state);
	/* Its scheduler may have come, and been ended by the kernel, between two looks. */
	if (failure->outcome == OUTCOME_PROGRAM_ENDED)
		fail(failure, exit_judge(holding, OUTCOME_PROGRAM_ENDED),
		     "the program %s before its scheduler was seen attached: its reasons "
		     "are on standard error",
		     holding->child_said);
	return false;
}

static bool load_object(struct holding *holding, struct failure *failure)
{
	struct bpf_map *ops;

	return open_checked(holding, &ops, failure) && load(holding, ops, failure) &&
	       attach(holding, ops, failure);
}

static bool is_end_from_outside(enum outcome outcome)
{
	return outcome == OUTCOME_DETACHED || outcome == OUTCOME_PARENT_GONE ||
	       outcome == OUTCOME_LEASE_EXPIRED;
}

static enum outcome run(struct holding *holding)
{
	struct failure failure = {};
	struct kernel_state state;

	if (holding->options->program_path ? start_program(holding, &failure)
					   : load_object(holding, &failure))
		return hold(holding);
	if (!is_end_from_outside(failure.outcome)) {
		report_failure(holding->json, &failure);
		return failure.outcome;
	}
	kernel_state_read(&state);
	report_detached(holding->json, failure.outcome, &state);
	return failure.outcome;
}

int main(int argc, char **argv)
{
	struct json *json = calloc(1, sizeof(*json));
	struct options options = {.parent = getppid()};
	struct failure failure = {};
	struct holding holding = {.options = &options, .json = json, .child_fd = -1};
	enum outcome outcome;

	if (!json)
		return OUTCOME_INTERNAL;
	if (!options_parse(&options, argc, argv, &failure)) {
		report_failure(json, &failure);
		return failure.outcome;
	}
	json_output_prepare();
	libbpf_set_print(libbpf_print);
	holding.signal_fd = signals_prepare();
	survive(&options, json);
	outcome = run(&holding);
	bpf_object__close(holding.object);
	free(json);
	return outcome;
}
