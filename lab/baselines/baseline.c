// SPDX-License-Identifier: Apache-2.0
/*
 * baseline: load a scheduler as any program does, and see how it is after a while.
 *
 *   baseline OBJECT SECONDS HOGS
 *
 * The object is loaded with all that is in it. Beside HOGS processes of the ordinary class, which
 * compute without end, every table of operations is registered; nothing is refused here that libbpf
 * or the kernel does not refuse. SECONDS later one line on standard output says what the kernel
 * then runs: `STATE OPS NAME`, where NAME is what the object calls itself. Complaints go to
 * standard error, libbpf's own among them.
 *
 * From the registration on it runs in real time, so that it comes to the end whatever the scheduler
 * does. Loading can take the kernel's verifier long, and is nothing to keep a CPU for.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SYSFS "/sys/kernel/sched_ext/"

enum { PRIORITY = 90, TABLES_MAX = 8, NAME_BYTES = 128, POLL_NS = 50000000, POLLS = 600 };

struct tables {
	struct bpf_link *links[TABLES_MAX];
	int count;
	bool failed;
};

static int complain(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, args);
}

static void line_read(const char *path, char *text)
{
	FILE *file = fopen(path, "r");

	if (!file || !fgets(text, NAME_BYTES, file))
		text[0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (file)
		fclose(file);
}

/* Names are words of a line. */
static void word_make(char *text)
{
	for (; *text; text++)
		if (*text <= ' ')
			*text = '_';
}

static void hogs_start(int count)
{
	for (int i = 0; i < count; i++) {
		if (fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (volatile unsigned long spins = 0;; spins++)
			;
	}
}

static bool observe(void)
{
	struct sched_param parameters = {.sched_priority = PRIORITY};

	return !mlockall(MCL_CURRENT | MCL_FUTURE) &&
	       !sched_setscheduler(0, SCHED_FIFO, &parameters);
}

static void register_all(struct bpf_object *object, struct tables *tables)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, object)
	{
		struct bpf_link *link;

		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS || !bpf_map__autocreate(map) ||
		    tables->count == TABLES_MAX)
			continue;
		link = bpf_map__attach_struct_ops(map);
		if (link) {
			tables->links[tables->count++] = link;
			continue;
		}
		fprintf(stderr, "error: %s was not registered: %s\n", bpf_map__name(map),
			strerror(errno));
		tables->failed = true;
	}
}

/* The name in the first table that has one. */
static void name_read(struct bpf_object *object, char *name)
{
	const struct btf *btf = bpf_object__btf(object);
	struct bpf_map *map;

	name[0] = '\0';
	bpf_object__for_each_map(map, object)
	{
		const struct btf_type *type;
		size_t size;
		const char *data = bpf_map__initial_value(map, &size);

		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS || !data || name[0])
			continue;
		type = btf__type_by_id(btf, bpf_map__btf_value_type_id(map));
		for (int i = 0; type && i < btf_vlen(type); i++) {
			const struct btf_member *member = btf_members(type) + i;
			size_t at = btf_member_bit_offset(type, i) / 8;

			if (!strcmp(btf__name_by_offset(btf, member->name_off), "name") &&
			    at < size)
				snprintf(name, NAME_BYTES, "%.*s", (int)(size - at), data + at);
		}
	}
}

static void rest(time_t seconds, long nanoseconds)
{
	struct timespec span = {.tv_sec = seconds, .tv_nsec = nanoseconds};

	while (nanosleep(&span, &span) && errno == EINTR)
		;
}

static void let_go(struct tables *tables)
{
	char state[NAME_BYTES];

	while (tables->count)
		bpf_link__destroy(tables->links[--tables->count]);
	for (int i = 0; i < POLLS; i++) {
		line_read(SYSFS "state", state);
		if (!strcmp(state, "disabled"))
			return;
		rest(0, POLL_NS);
	}
	fprintf(stderr, "the kernel had not let go of the scheduler at the end: %s\n", state);
}

int main(int argc, char **argv)
{
	char name[NAME_BYTES], state[NAME_BYTES], ops[NAME_BYTES];
	struct tables tables = {};
	struct bpf_object *object;

	if (argc != 4) {
		fprintf(stderr, "usage: baseline OBJECT SECONDS HOGS\n");
		return 64;
	}
	libbpf_set_print(complain);
	object = bpf_object__open_file(argv[1], NULL);
	if (!object) {
		fprintf(stderr, "error: cannot open %s: %s\n", argv[1], strerror(errno));
		return 2;
	}
	name_read(object, name);
	if (bpf_object__load(object)) {
		fprintf(stderr, "error: cannot load %s: %s\n", argv[1], strerror(errno));
		return 2;
	}
	hogs_start(atoi(argv[3]));
	if (!observe()) {
		fprintf(stderr, "not in real time: %s\n", strerror(errno));
		return 1;
	}
	register_all(object, &tables);
	if (!tables.failed)
		rest(atoi(argv[2]), 0);
	line_read(SYSFS "state", state);
	line_read(SYSFS "root/ops", ops);
	word_make(ops);
	word_make(name);
	printf("%s %s %s\n", state, ops[0] ? ops : "-", name[0] ? name : "-");
	fflush(stdout);
	let_go(&tables);
	bpf_object__close(object);
	return 0;
}
