// SPDX-License-Identifier: GPL-2.0
/*
 * Hold the link, renew the lease from standard input, watch the kernel, and let go. The link is
 * destroyed before anything is said about it: a parent that does not read cannot delay that.
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
	struct bpf_map *map = bpf_object__find_map_by_name(holding->object, "schedcp_exit");
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
static enum outcome exit_judge(const struct holding *holding, enum outcome outcome)
{
	char log[LOG_TEXT_MAX];
	struct schedcp_exit_info *info;
	bool restart;

	kernel_log_read(holding->log_mark, log, sizeof(log));
	info = exit_info_read(holding, log);
	if (!info)
		return outcome;
	restart = info->kind == EXIT_KIND_BY_KERNEL &&
		  ((unsigned long long)info->code & EXIT_CODE_RESTART);
	if (info->kind >= EXIT_KIND_FIRST_ERROR)
		outcome = OUTCOME_EJECTED;
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

static int wait_ms(long long now, long long stats_at, long long lease_until, bool leased)
{
	long long until = stats_at < now + STATE_POLL_MS ? stats_at : now + STATE_POLL_MS;

	if (leased && lease_until < until)
		until = lease_until;
	return until > now ? (int)(until - now) : 0;
}

/* Wait for the first thing that ends the holding, and say which it was. */
static enum outcome watch(struct holding *holding)
{
	uint32_t lease_ms = holding->options->lease_ms;
	long long now = monotonic_ms();
	long long stats_at = now + STATS_PERIOD_MS, renewed_at = now;
	struct kernel_state state;

	for (;;) {
		struct pollfd fds[] = {
			{.fd = holding->signal_fd, .events = POLLIN},
			{.fd = lease_ms ? STDIN_FILENO : -1, .events = POLLIN},
		};
		bool ended = false;

		poll(fds, 2, wait_ms(now, stats_at, renewed_at + lease_ms, lease_ms));
		now = monotonic_ms();
		if (fds[0].revents && (signals_handle(holding, &ended), ended))
			return OUTCOME_DETACHED;
		if (fds[1].revents && lease_renew(&ended))
			renewed_at = now;
		if (ended)
			return OUTCOME_PARENT_GONE;
		if (lease_ms && now >= renewed_at + lease_ms)
			return OUTCOME_LEASE_EXPIRED;
		lift_look(&holding->lift, holding->options, holding->json, now, now - renewed_at);
		if (!still_ours(holding, &state))
			return OUTCOME_EJECTED;
		if (now >= stats_at) {
			report_stats(holding->json, holding->object, &state);
			stats_at += STATS_PERIOD_MS;
		}
	}
}

enum outcome hold(struct holding *holding)
{
	enum outcome outcome = watch(holding);
	struct kernel_state state;

	bpf_link__destroy(holding->link);
	settle(holding, &state);
	lift_end(&holding->lift, holding->options);
	outcome = exit_judge(holding, outcome);
	report_detached(holding->json, outcome, &state);
	return outcome;
}
