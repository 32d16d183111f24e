// SPDX-License-Identifier: GPL-2.0
/* Turn what happened into events. */
#include "loader.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stdlib.h>

enum { COUNTERS_MAX = 64 };

void report_failure(struct json *json, const struct failure *failure)
{
	json_begin(json, "error");
	json_string(json, "code", outcome_name(failure->outcome));
	json_integer(json, "exitCode", failure->outcome);
	json_string(json, "message", failure->message);
	json_send(json, true);
}

void report_warning(struct json *json, const char *code, const char *message)
{
	json_begin(json, "warning");
	json_string(json, "code", code);
	json_string(json, "message", message);
	json_send(json, true);
}

/* How hard the kernel's verifier worked tells how near a program is to the limit. */
void report_loaded(struct json *json, const struct bpf_object *object, const char *ops)
{
	struct bpf_program *program;

	json_begin(json, "loaded");
	json_string(json, "ops", ops);
	json_array(json, "programs");
	bpf_object__for_each_program(program, object)
	{
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);
		int fd = bpf_program__fd(program);

		if (fd < 0 || bpf_prog_get_info_by_fd(fd, &info, &size))
			continue;
		json_object(json, NULL);
		json_string(json, "name", bpf_program__name(program));
		json_unsigned(json, "verifiedInstructions", info.verified_insns);
		json_unsigned(json, "translatedBytes", info.xlated_prog_len);
		json_object_end(json);
	}
	json_array_end(json);
	json_send(json, true);
}

/* Add up each 64-bit member of the map's value over all CPUs, under the member's own name. */
static void counters_write(struct json *json, const struct bpf_object *object,
			   const struct bpf_map *map)
{
	const struct btf *btf = bpf_object__btf(object);
	int type_id = btf__resolve_type(btf, bpf_map__btf_value_type_id(map));
	const struct btf_type *type = type_id > 0 ? btf__type_by_id(btf, type_id) : NULL;
	size_t stride = (bpf_map__value_size(map) + 7) / 8;
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values = cpus > 0 ? calloc((size_t)cpus, stride * 8) : NULL;
	uint32_t key = 0;

	if (!values || !type || !btf_is_struct(type) || btf_vlen(type) > COUNTERS_MAX ||
	    bpf_map_lookup_elem(bpf_map__fd(map), &key, values)) {
		free(values);
		return;
	}
	for (int i = 0; i < btf_vlen(type); i++) {
		const struct btf_member *member = btf_members(type) + i;
		size_t index = btf_member_bit_offset(type, i) / 64;
		uint64_t sum = 0;

		if (btf__resolve_size(btf, member->type) != 8)
			continue;
		for (int cpu = 0; cpu < cpus; cpu++)
			sum += values[(size_t)cpu * stride + index];
		json_unsigned(json, btf__name_by_offset(btf, member->name_off), sum);
	}
	free(values);
}

void report_stats(struct json *json, const struct bpf_object *object,
		  const struct kernel_state *state)
{
	const struct bpf_map *map = object ? bpf_object__find_map_by_name(object, "stats") : NULL;

	json_begin(json, "stats");
	json_unsigned(json, "enableSeq", state->enable_seq);
	json_unsigned(json, "nrRejected", state->nr_rejected);
	json_object(json, "counters");
	if (map && bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_ARRAY)
		counters_write(json, object, map);
	json_object_end(json);
	json_send(json, false);
}

void report_detached(struct json *json, enum outcome outcome, const struct kernel_state *state)
{
	json_begin(json, "detached");
	json_string(json, "reason", outcome_name(outcome));
	json_integer(json, "exitCode", outcome);
	json_string(json, "state", state->state);
	json_unsigned(json, "enableSeq", state->enable_seq);
	json_send(json, true);
}
