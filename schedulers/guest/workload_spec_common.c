// SPDX-License-Identifier: GPL-2.0
/* Parse a workload specification: lines `seed N`, `warmup_ns N`, `duration_ns N`, `group ...`. */
#include "workload.h"
#include "guest_common.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	LINE_BYTES = 1024,
	LABEL_BYTES = 128,
	NICE_MIN = -20,
	NICE_MAX = 19,
	CPU_MAX = 1023,
	WIDTH_MAX = 1024
};

#define TIME_MAX_NS (3600 * NSEC_PER_SEC)

struct place {
	const char *path;
	int line;
};

static uint64_t number(const struct place *place, const char *key, const char *text,
		       uint64_t minimum, uint64_t maximum)
{
	char label[LABEL_BYTES];

	snprintf(label, sizeof(label), "%s:%d: %s", place->path, place->line, key);
	return parse_number(label, text, minimum, maximum);
}

static size_t list_parse(const struct place *place, const char *key, char *text, uint64_t *values)
{
	char *rest = NULL;
	size_t count = 0;

	for (char *item = strtok_r(text, ",", &rest); item && count < QUANTILES;
	     item = strtok_r(NULL, ",", &rest))
		values[count++] = number(place, key, item, 0, TIME_MAX_NS);
	return count;
}

static void distribution_parse(const struct place *place, const char *key, char *text,
			       struct distribution *out)
{
	uint64_t values[QUANTILES];
	char *colon = strchr(text, ':');
	size_t count = colon ? list_parse(place, key, colon + 1, values) : 0;

	if (count == 1 && !strncmp(text, "fixed:", 6)) {
		for (int i = 0; i < QUANTILES; i++)
			out->at[i] = values[0];
		return;
	}
	if (count != QUANTILES || strncmp(text, "quantiles:", 10))
		die(EXIT_USAGE,
		    "%s:%d: %s '%s' is neither fixed:NS nor quantiles: and seven numbers",
		    place->path, place->line, key, text);
	memcpy(out->at, values, sizeof(values));
	for (int i = 1; i < QUANTILES; i++)
		if (values[i] < values[i - 1])
			die(EXIT_USAGE, "%s:%d: %s: quantiles must not fall", place->path,
			    place->line, key);
}

static size_t group_find(const struct place *place, const char *name, const struct spec *spec)
{
	for (size_t i = 0; i < spec->group_count; i++)
		if (!strcmp(spec->groups[i].name, name))
			return i;
	die(EXIT_USAGE, "%s:%d: no group '%s' above this line", place->path, place->line, name);
}

static void after_parse(const struct place *place, char *text, const struct spec *spec,
			struct group *group)
{
	char *rest = NULL;

	for (char *name = strtok_r(text, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
		size_t found = group_find(place, name, spec);

		if (group->after_count == AFTER_MAX || !spec->groups[found].total_cpu_ns)
			die(EXIT_USAGE, "%s:%d: after: at most %d groups, all with total_cpu_ns",
			    place->path, place->line, AFTER_MAX);
		group->after[group->after_count++] = found;
	}
}

static int nice_parse(const struct place *place, const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < NICE_MIN || value > NICE_MAX)
		die(EXIT_USAGE, "%s:%d: nice '%s' is not from -20 to 19", place->path, place->line,
		    text);
	return (int)value;
}

static void field_parse(const struct place *place, const char *key, char *value, struct spec *spec,
			struct group *group)
{
	if (!strcmp(key, "threads"))
		group->threads = (unsigned int)number(place, key, value, 1, GROUP_THREADS_MAX);
	else if (!strcmp(key, "burst_ns"))
		distribution_parse(place, key, value, &group->burst);
	else if (!strcmp(key, "sleep_ns"))
		distribution_parse(place, key, value, &group->sleep);
	else if (!strcmp(key, "nice"))
		group->nice = nice_parse(place, value);
	else if (!strcmp(key, "cpu"))
		group->cpu = (int)number(place, key, value, 0, CPU_MAX);
	else if (!strcmp(key, "total_cpu_ns"))
		group->total_cpu_ns = number(place, key, value, 1, TIME_MAX_NS);
	else if (!strcmp(key, "start_delay_ns"))
		group->start_delay_ns = number(place, key, value, 0, TIME_MAX_NS);
	else if (!strcmp(key, "paced"))
		group->paced = number(place, key, value, 0, 1);
	else if (!strcmp(key, "after"))
		after_parse(place, value, spec, group);
	else if (!strcmp(key, "serves"))
		group->serves = spec->groups + group_find(place, value, spec);
	else if (!strcmp(key, "cgroup") && strlen(value) < sizeof(group->cgroup))
		strcpy(group->cgroup, value);
	else
		die(EXIT_USAGE, "%s:%d: unknown field '%s', or its value is too long", place->path,
		    place->line, key);
}

static bool name_is_plain(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";

	return name && *name && strlen(name) < NAME_MAX_BYTES &&
	       strspn(name, allowed) == strlen(name);
}

static void group_parse(const struct place *place, char *text, struct spec *spec)
{
	struct group *group = spec->groups + spec->group_count;
	char *rest = NULL, *name = strtok_r(text, " \t\n", &rest);

	if (spec->group_count == GROUPS_MAX || !name_is_plain(name))
		die(EXIT_USAGE, "%s:%d: 'group' needs a plain name; at most %d groups", place->path,
		    place->line, GROUPS_MAX);
	strcpy(group->name, name);
	group->threads = 1;
	group->cpu = -1;
	for (char *field = strtok_r(NULL, " \t\n", &rest); field;
	     field = strtok_r(NULL, " \t\n", &rest)) {
		char *equals = strchr(field, '=');

		if (!equals)
			die(EXIT_USAGE, "%s:%d: '%s' is not KEY=VALUE", place->path, place->line,
			    field);
		*equals = '\0';
		field_parse(place, field, equals + 1, spec, group);
	}
	if (group->serves &&
	    (group->serves->served_by || group->serves->serves || group->serves->total_cpu_ns))
		die(EXIT_USAGE, "%s:%d: serves: an endless group that nobody serves yet",
		    place->path, place->line);
	if (group->serves)
		group->serves->served_by = group;
	if (!group->burst.at[QUANTILES - 1])
		die(EXIT_USAGE, "%s:%d: group %s needs burst_ns above zero", place->path,
		    place->line, group->name);
	spec->group_count++;
}

static void line_parse(const struct place *place, char *line, struct spec *spec)
{
	char *rest = NULL, *word;

	line[strcspn(line, "#\n")] = '\0';
	word = strtok_r(line, " \t", &rest);
	if (!word)
		return;
	rest += strspn(rest, " \t");
	if (!strcmp(word, "seed"))
		spec->seed = number(place, word, rest, 0, UINT64_MAX);
	else if (!strcmp(word, "warmup_ns"))
		spec->warmup_ns = number(place, word, rest, 0, TIME_MAX_NS);
	else if (!strcmp(word, "duration_ns"))
		spec->duration_ns = number(place, word, rest, 1, TIME_MAX_NS);
	else if (!strcmp(word, "sum"))
		spec->sum = number(place, word, rest, 0, 1);
	else if (!strcmp(word, "width"))
		spec->width = (unsigned int)number(place, word, rest, 1, WIDTH_MAX);
	else if (!strcmp(word, "group"))
		group_parse(place, rest, spec);
	else
		die(EXIT_USAGE, "%s:%d: unknown line '%s'", place->path, place->line, word);
}

void spec_read(struct spec *spec, const char *path)
{
	FILE *file = fopen(path, "re");
	struct place place = {.path = path};
	bool finite = false, after = false;
	char line[LINE_BYTES];

	if (!file)
		die(EXIT_USAGE, "cannot open %s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), file)) {
		place.line++;
		line_parse(&place, line, spec);
	}
	fclose(file);
	for (size_t i = 0, first = 0; i < spec->group_count; i++) {
		finite |= spec->groups[i].total_cpu_ns > 0;
		after |= spec->groups[i].after_count > 0;
		spec->groups[i].first = first;
		first += spec->groups[i].threads;
	}
	if (after && !spec->width)
		die(EXIT_USAGE, "%s: after needs a width", path);
	if (!spec->group_count || (!finite && !spec->duration_ns))
		die(EXIT_USAGE, "%s: needs a group, and duration_ns or a group with total_cpu_ns",
		    path);
}
