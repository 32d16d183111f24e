// SPDX-License-Identifier: GPL-2.0
/*
 * Hold the link, or the program that has it; renew the lease from standard input, watch the kernel,
 * and let go. The link is destroyed, or its program ended, before anything is said about it: a
 * parent that does not read cannot delay that.
 */
#include "loader.h"
#include "schedcp/exit_info.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum {
	STATE_POLL_MS = 250,
	PROGRAM_POLL_MS = 50,
	STATS_PERIOD_MS = 1000,
	SETTLE_MS = 45000, /* disabling took 10 s under load; the watchdog's longest is 30 s */
};

#define EXIT_CODE_RESTART (1ULL << 48)

static long long monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* A scheduler that went and came back has another sequence number: it is not ours any more. */
static bool still_ours(const struct holding *holding, struct kernel_state *state)
{
	kernel_state_read(state);
	return !strcmp(state->state, "enabled") && !strcmp(state->ops, holding->ops) &&
	       state->enable_seq == holding->enable_seq;
}

/* Whether the kernel is done with ours: it runs nothing, or somebody else's by now. */
static bool is_gone(const struct holding *holding, const struct kernel_state *state)
{
	bool enabled = !strcmp(state->state, "enabled");

	return !strcmp(state->state, "disabled") ||
	       (enabled && state->enable_seq != holding->enable_seq);
}

static void settle(const struct holding *holding, struct kernel_state *state)
{
	long long deadline = monotonic_ms() + SETTLE_MS;

	for (kernel_state_read(state); !is_gone(holding, state) && monotonic_ms() < deadline;
	     kernel_state_read(state))
		poll(NULL, 0, STATE_POLL_MS);
}

/* What the scheduler recorded of its end; where it records nothing, what the kernel logged. */
static struct schedcp_exit_info *exit_info_read(const struct holding *holding, const char *log)
{
	struct bpf_map *map =
		holding->object ? bpf_object__find_map_by_name(holding->object, "schedcp_exit")
				: NULL;
	struct schedcp_exit_info *info = calloc(1, sizeof(*info));
	uint32_t key = 0;

	if (info && map && bpf_map__value_size(map) == sizeof(*info))
		bpf_map_lookup_elem(bpf_map__fd(map), &key, info);
	if (info && !info->recorded)
		info->kind =
			kernel_log_reason(log, holding->ops, info->reason, sizeof(info->reason));
	return info;
}

static void exit_report(struct json *json, const struct schedcp_exit_info *info, const char *log)
{
	json_begin(json, "exit");
	json_integer(json, "kind", info->kind);
	json_integer(json, "code", info->code);
	json_string(json, "reason", info->reason);
	json_string(json, "message", info->message);
	json_string(json, "log", log);
	json_string(json, "dump", info->dump);
	json_send(json, true);
}

/*
 * Whatever ended the holding, the kernel may have ended the scheduler just before: its own word
 * comes first. Report an end that it decided.
 */
enum outcome exit_judge(const struct holding *holding, enum outcome outcome)
{
	char log[LOG_TEXT_MAX];
	struct schedcp_exit_info *info;
	bool restart;

	kernel_log_read(holding->log_mark, log, sizeof(log));
	info = exit_info_read(holding, log);
	if (!info)
		return outcome;
	/* The log has no exit code. What a kernel ends of itself, it ends for a CPU that came or
	 * went. */
	restart = info->kind == EXIT_KIND_BY_KERNEL &&
		  (!holding->object || (unsigned long long)info->code & EXIT_CODE_RESTART);
	if (info->kind >= EXIT_KIND_FIRST_ERROR ||
	    (outcome == OUTCOME_PROGRAM_ENDED && info->kind == EXIT_KIND_BY_KERNEL))
		outcome = OUTCOME_EJECTED;
	/* A program may take its scheduler away a moment before it ends. */
	if (outcome == OUTCOME_EJECTED && !holding->object && info->kind == EXIT_KIND_BY_USER)
		outcome = OUTCOME_PROGRAM_ENDED;
	if (outcome == OUTCOME_EJECTED) {
		exit_report(holding->json, info, log);
		outcome = restart ? OUTCOME_RESTART_REQUESTED : OUTCOME_EJECTED;
	}
	free(info);
	return outcome;
}

/* Take all pending signals. Sets `ended` when one of them ends the holding. */
static void signals_handle(const struct holding *holding, bool *ended)
{
	struct signalfd_siginfo signal;
	struct failure failure;

	while (read(holding->signal_fd, &signal, sizeof(signal)) == sizeof(signal)) {
		if (signal.ssi_signo != SIGHUP)
			*ended = true;
		else if (!inputs_apply(holding->object, holding->options, &failure))
			report_warning(holding->json, "InputRefused", failure.message);
	}
}

/* Take what the parent sent. Sets `ended` when there will never be more. */
static bool lease_renew(bool *ended)
{
	char bytes[256];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	*ended = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
	return n > 0;
}

bool still_wanted(const struct holding *holding, struct failure *failure)
{
	bool leased = holding->options->lease_ms;
	struct pollfd fds[] = {
		{.fd = holding->signal_fd, .events = POLLIN},
		{.fd = leased ? STDIN_FILENO : -1, .events = POLLIN},
	};
	bool signalled = false, closed = false;

	poll(fds, 2, 0);
	if (fds[0].revents)
		signals_handle(holding, &signalled);
	if (fds[1].revents & POLLIN)
		lease_renew(&closed);
	if (signalled)
		return fail(failure, OUTCOME_DETACHED, "told to end before anything was attached");
	/* A hang-up counts even while renewals are left in the pipe. */
	if (closed || fds[1].revents & (POLLHUP | POLLERR))
		return fail(failure, OUTCOME_PARENT_GONE, "the parent was gone before the end");
	return true;
}

/* What is waited for, and since when. */
struct watching {
	long long renewed_at;
	long long stats_at;
};

static struct watching watching_begin(void)
{
	long long now = monotonic_ms();

	return (struct watching){.renewed_at = now, .stats_at = now + STATS_PERIOD_MS};
}

static int wait_ms(long long now, long long stats_at, long long lease_until, bool leased)
{
	long long until = stats_at < now + STATE_POLL_MS ? stats_at : now + STATE_POLL_MS;

	if (leased && lease_until < until)
		until = lease_until;
	return until > now ? (int)(until - now) : 0;
}

/* Wait for at most `longest_ms`. True, and why in `outcome`, when something ends the holding. */
static bool ends(struct holding *holding, struct watching *watching, int longest_ms,
		 enum outcome *outcome)
{
	uint32_t lease_ms = holding->options->lease_ms;
	struct pollfd fds[] = {
		{.fd = holding->signal_fd, .events = POLLIN},
		{.fd = lease_ms ? STDIN_FILENO : -1, .events = POLLIN},
		{.fd = holding->child_fd, .events = POLLIN},
	};
	bool told = false, closed = false;
	long long now;

	poll(fds, 3, longest_ms);
	now = monotonic_ms();
	if (fds[0].revents)
		signals_handle(holding, &told);
	if (fds[1].revents && lease_renew(&closed))
		watching->renewed_at = now;
	if (told)
		*outcome = OUTCOME_DETACHED;
	else if (closed)
		*outcome = OUTCOME_PARENT_GONE;
	else if (lease_ms && now >= watching->renewed_at + lease_ms)
		*outcome = OUTCOME_LEASE_EXPIRED;
	else if (fds[2].revents)
		*outcome = OUTCOME_PROGRAM_ENDED;
	else
		return false;
	return true;
}

/* Wait for the first thing that ends the holding, and say which it was. */
static enum outcome watch(struct holding *holding)
{
	uint32_t lease_ms = holding->options->lease_ms;
	struct watching watching = watching_begin();
	long long now = monotonic_ms();
	struct kernel_state state;
	enum outcome outcome;

	while (!ends(holding, &watching,
		     wait_ms(now, watching.stats_at, watching.renewed_at + lease_ms, lease_ms),
		     &outcome)) {
		now = monotonic_ms();
		lift_look(&holding->lift, holding->options, holding->json, now,
			  now - watching.renewed_at);
		if (!still_ours(holding, &state))
			return OUTCOME_EJECTED;
		if (now >= watching.stats_at) {
			report_stats(holding->json, holding->object, &state);
			watching.stats_at += STATS_PERIOD_MS;
		}
	}
	return outcome;
}

/* Whether a kernel that runs nobody's scheduler yet runs the program's now, or another's. */
static bool program_enabled(struct holding *holding, const struct kernel_state *state,
			    struct failure *failure)
{
	if (strcmp(state->state, "enabled") || !*state->ops)
		return false;
	/* Somebody else's must not be waited for: it may stay. */
	if (!strcmp(state->ops, holding->ops))
		holding->enable_seq = state->enable_seq;
	else
		fail(failure, OUTCOME_STRUCT_OPS_REFUSED,
		     "the program's scheduler calls itself '%s', and '%s' was approved", state->ops,
		     holding->ops);
	return true;
}

bool child_attached(struct holding *holding, struct kernel_state *state, struct failure *failure)
{
	struct watching watching = watching_begin();
	enum outcome outcome;

	while (!ends(holding, &watching, PROGRAM_POLL_MS, &outcome)) {
		lift_look(&holding->lift, holding->options, holding->json, monotonic_ms(),
			  monotonic_ms() - watching.renewed_at);
		kernel_state_read(state);
		if (program_enabled(holding, state, failure))
			return failure->outcome == OUTCOME_DETACHED;
	}
	return fail(failure, outcome, "nothing was attached before the end");
}

void let_go(struct holding *holding, struct kernel_state *state)
{
	bpf_link__destroy(holding->link);
	holding->link = NULL;
	child_end(holding);
	settle(holding, state);
	lift_end(&holding->lift, holding->options);
}

enum outcome hold(struct holding *holding)
{
	enum outcome outcome = watch(holding);
	struct kernel_state state;

	let_go(holding, &state);
	outcome = exit_judge(holding, outcome);
	report_detached(holding->json, outcome, &state);
	return outcome;
}
