// SPDX-License-Identifier: GPL-2.0
/*
 * Fill the maps that user space may feed: what is known about cgroups. The whole file is parsed
 * before the map is touched, so that a bad file changes nothing. Whoever starts the loader need not
 * know which maps a scheduler has: a file without its map is left unread.
 */
#include "loader.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 128, ENTRIES_MAX = 4096, PRESENT = 1 };

struct entry {
	uint64_t cgroup_id;
	uint64_t value;
};

static bool line_parse(const char *line, bool has_value, struct entry *entry)
{
	char rest[2];
	int fields;

	entry->value = PRESENT;
	if (has_value)
		fields = sscanf(line, "%" SCNu64 " %" SCNu64 " %1s", &entry->cgroup_id,
				&entry->value, rest);
	else
		fields = sscanf(line, "%" SCNu64 " %1s", &entry->cgroup_id, rest);
	return fields == (has_value ? 2 : 1) && !strchr(line, '-');
}

static bool file_parse(const char *path, bool has_value, struct entry *entries, size_t *count,
		       struct failure *failure)
{
	FILE *file = fopen(path, "re");
	char line[LINE_MAX_BYTES];
	bool good = file != NULL;

	if (!file)
		return fail(failure, OUTCOME_USAGE, "cannot open %s: %s", path, strerror(errno));
	for (*count = 0; good && fgets(line, sizeof(line), file);) {
		if (line[strspn(line, " \t\n")] == '\0')
			continue;
		good = *count < ENTRIES_MAX && line_parse(line, has_value, entries + *count);
		(*count)++;
	}
	fclose(file);
	return good ||
	       fail(failure, OUTCOME_USAGE, "%s: entry %zu is not '%s', or there are more than %d",
		    path, *count, has_value ? "CGROUP_ID NANOSECONDS" : "CGROUP_ID", ENTRIES_MAX);
}

static bool listed(const struct entry *entries, size_t count, uint64_t cgroup_id)
{
	for (size_t i = 0; i < count; i++)
		if (entries[i].cgroup_id == cgroup_id)
			return true;
	return false;
}

static void sweep(int fd, const struct entry *entries, size_t count)
{
	uint64_t key, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (!listed(entries, count, key))
			bpf_map_delete_elem(fd, &key);
	}
}

static bool map_fill(const struct bpf_map *map, const struct entry *entries, size_t count,
		     struct failure *failure)
{
	if (bpf_map__key_size(map) != sizeof(uint64_t) ||
	    bpf_map__value_size(map) != sizeof(uint64_t))
		return fail(failure, OUTCOME_MAP_REFUSED,
			    "map '%s' is filled from a file, but is not from u64 to u64: declare "
			    "it so, or name it otherwise",
			    bpf_map__name(map));
	sweep(bpf_map__fd(map), entries, count);
	for (size_t i = 0; i < count; i++)
		if (bpf_map_update_elem(bpf_map__fd(map), &entries[i].cgroup_id, &entries[i].value,
					BPF_ANY))
			return fail(failure, OUTCOME_INTERNAL, "map '%s' takes no more: %s",
				    bpf_map__name(map), strerror(errno));
	return true;
}

static bool input_apply(struct bpf_object *object, const char *path, const char *name,
			bool has_value, struct failure *failure)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(object, name);
	struct entry *entries;
	size_t count = 0;
	bool done;

	if (!path || !map)
		return true;
	entries = calloc(ENTRIES_MAX, sizeof(*entries));
	if (!entries)
		return fail(failure, OUTCOME_INTERNAL, "out of memory while reading %s", path);
	done = file_parse(path, has_value, entries, &count, failure) &&
	       map_fill(map, entries, count, failure);
	free(entries);
	return done;
}

bool inputs_apply(struct bpf_object *object, const struct options *options, struct failure *failure)
{
	if (!object)
		return true; /* a program's maps are its own */
	return input_apply(object, options->expected_file, "expected_runtime", true, failure) &&
	       input_apply(object, options->target_cgroups_file, "target_cgroups", false, failure);
}
