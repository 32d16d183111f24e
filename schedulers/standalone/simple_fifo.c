// SPDX-License-Identifier: GPL-2.0
/*
 * simple_fifo as a program of its own: it brings its BPF code and needs no loader.
 *
 *   simple_fifo [--slice-us N] [--exit-after SECONDS]
 *
 * It behaves as the programs of the scx project do: SCX_TIMEOUT_MS sets the watchdog, a signal ends
 * it, the reason for an end goes to standard error, and it attaches its scheduler again when the
 * kernel asks for that. With --exit-after it leaves by itself without a word, which is what a
 * verifier has to notice.
 */
#include "schedcp/exit_info.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POLL_NS = 500 * 1000 * 1000, USAGE = 64, EXIT_KIND_BY_KERNEL = 66 };

#define EXIT_CODE_RESTART (1ULL << 48)

/* The object file, as the linker's data. */
__asm__(".section .rodata\n"
	".balign 8\n"
	"object_begin: .incbin \"" OBJECT_FILE "\"\n"
	"object_end:\n"
	".previous\n");
extern const char object_begin[], object_end[];

struct options {
	uint64_t slice_us;
	time_t exit_after_s;
	uint32_t timeout_ms;
};

enum end { END_TOLD, END_RESTART, END_EJECTED, END_FAILED };

static uint64_t number_read(const char *text)
{
	char *rest;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &rest, 10);
	if (errno || *rest || rest == text || !value) {
		fprintf(stderr, "simple_fifo: %s is no number above 0\n", text);
		exit(USAGE);
	}
	return value;
}

static struct options options_read(int argc, char **argv)
{
	static const struct option known[] = {
		{"slice-us", required_argument, NULL, 's'},
		{"exit-after", required_argument, NULL, 'e'},
		{},
	};
	const char *timeout_ms = getenv("SCX_TIMEOUT_MS");
	struct options options = {};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 's')
			options.slice_us = number_read(optarg);
		else if (option == 'e')
			options.exit_after_s = (time_t)number_read(optarg);
		else
			exit(USAGE);
	}
	if (optind < argc) {
		fprintf(stderr, "simple_fifo: unexpected %s\n", argv[optind]);
		exit(USAGE);
	}
	if (timeout_ms)
		options.timeout_ms = (uint32_t)number_read(timeout_ms);
	return options;
}

static time_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Returns where a global of .rodata is, or nothing. */
static void *global_find(const struct bpf_object *object, const char *name)
{
	const struct btf *btf = bpf_object__btf(object);
	int id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_type *section = id > 0 ? btf__type_by_id(btf, (uint32_t)id) : NULL;
	struct bpf_map *map = bpf_object__find_map_by_name(object, ".rodata");
	size_t size;
	char *data = map ? bpf_map__initial_value(map, &size) : NULL;

	for (int i = 0; section && data && i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *info = btf_var_secinfos(section) + i;
		const struct btf_type *variable = btf__type_by_id(btf, info->type);

		if (!strcmp(btf__name_by_offset(btf, variable->name_off), name))
			return data + info->offset;
	}
	return NULL;
}

/* Returns where a member of the scheduler's table is, or nothing. */
static void *member_find(const struct bpf_object *object, const struct bpf_map *table,
			 const char *name)
{
	const struct btf *btf = bpf_object__btf(object);
	const struct btf_type *type = btf__type_by_id(btf, bpf_map__btf_value_type_id(table));
	size_t size;
	char *data = bpf_map__initial_value(table, &size);

	for (int i = 0; type && data && i < btf_vlen(type); i++) {
		const struct btf_member *member = btf_members(type) + i;

		if (!strcmp(btf__name_by_offset(btf, member->name_off), name))
			return data + btf_member_bit_offset(type, (uint32_t)i) / 8;
	}
	return NULL;
}

static struct schedcp_exit_info exit_info_read(const struct bpf_object *object)
{
	struct schedcp_exit_info info = {};
	int map = bpf_object__find_map_fd_by_name(object, "schedcp_exit");
	uint32_t key = 0;

	bpf_map_lookup_elem(map, &key, &info);
	return info;
}

/* Wait for the first thing that ends the scheduler. */
static enum end watch(const struct bpf_object *object, const sigset_t *signals, time_t until_s)
{
	const struct timespec poll = {.tv_nsec = POLL_NS};

	for (;;) {
		struct schedcp_exit_info info;

		if (sigtimedwait(signals, NULL, &poll) > 0)
			return END_TOLD;
		if (until_s && now_s() >= until_s)
			return END_TOLD;
		info = exit_info_read(object);
		if (!info.recorded)
			continue;
		fprintf(stderr, "EXIT: %s (%s)\n", info.reason, info.message);
		if (info.kind == EXIT_KIND_BY_KERNEL && ((uint64_t)info.code & EXIT_CODE_RESTART))
			return END_RESTART;
		return END_EJECTED;
	}
}

static bool options_apply(struct bpf_object *object, struct bpf_map *table,
			  const struct options *options)
{
	uint64_t *slice_ns = global_find(object, "slice_ns");
	uint32_t *timeout_ms = member_find(object, table, "timeout_ms");

	if (!slice_ns || !timeout_ms)
		return false;
	if (options->slice_us)
		*slice_ns = options->slice_us * 1000;
	if (options->timeout_ms)
		*timeout_ms = options->timeout_ms;
	return true;
}

static enum end run(const struct options *options, const sigset_t *signals, time_t until_s)
{
	size_t size = (size_t)(object_end - object_begin);
	struct bpf_object *object = bpf_object__open_mem(object_begin, size, NULL);
	struct bpf_map *table;
	struct bpf_link *link;
	enum end end;

	if (!object)
		return END_FAILED;
	table = bpf_object__find_map_by_name(object, "simple_fifo_ops");
	if (!table || !options_apply(object, table, options) || bpf_object__load(object)) {
		bpf_object__close(object);
		return END_FAILED;
	}
	link = bpf_map__attach_struct_ops(table);
	end = link ? watch(object, signals, until_s) : END_FAILED;
	bpf_link__destroy(link);
	bpf_object__close(object);
	return end;
}

int main(int argc, char **argv)
{
	struct options options = options_read(argc, argv);
	time_t until_s = options.exit_after_s ? now_s() + options.exit_after_s : 0;
	sigset_t signals;
	enum end end;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	do
		end = run(&options, &signals, until_s);
	while (end == END_RESTART);
	return end == END_TOLD ? EXIT_SUCCESS : EXIT_FAILURE;
}
