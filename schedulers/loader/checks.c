// SPDX-License-Identifier: GPL-2.0
/*
 * Refuse whatever a scheduler does not need. The lists name what is allowed, so that a kind of
 * program or map that is new to the kernel is refused until someone has thought about it. The
 * verifier's Bytecode stage allows the same kinds of maps (rules.py).
 */
#include "loader.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <string.h>

/* The arena came with Linux 6.9 and may be newer than the host's headers. */
enum { MAP_TYPE_ARENA = 33 };

static const int allowed_map_types[] = {
	BPF_MAP_TYPE_ARRAY,	    BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_HASH,
	BPF_MAP_TYPE_PERCPU_HASH,   BPF_MAP_TYPE_LRU_HASH,     BPF_MAP_TYPE_LRU_PERCPU_HASH,
	BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_TASK_STORAGE,
	BPF_MAP_TYPE_CGRP_STORAGE,  BPF_MAP_TYPE_QUEUE,	       BPF_MAP_TYPE_STACK,
	BPF_MAP_TYPE_BLOOM_FILTER,  BPF_MAP_TYPE_STRUCT_OPS,   MAP_TYPE_ARENA,
};

static bool map_type_allowed(int type)
{
	for (size_t i = 0; i < sizeof(allowed_map_types) / sizeof(*allowed_map_types); i++)
		if (allowed_map_types[i] == type)
			return true;
	return false;
}

static bool programs_check(const struct bpf_object *object, struct failure *failure)
{
	struct bpf_program *program;
	size_t count = 0;

	bpf_object__for_each_program(program, object)
	{
		if (bpf_program__type(program) != BPF_PROG_TYPE_STRUCT_OPS)
			return fail(failure, OUTCOME_PROGRAM_REFUSED,
				    "program '%s' in section '%s' is not struct_ops: a scheduler "
				    "needs no other kind, remove it",
				    bpf_program__name(program), bpf_program__section_name(program));
		count++;
	}
	if (!count)
		return fail(failure, OUTCOME_STRUCT_OPS_REFUSED,
			    "the object has no program: is it a scheduler?");
	return true;
}

static bool map_check(const struct bpf_map *map, struct failure *failure)
{
	const char *pin = bpf_map__pin_path(map);
	/* What a map of maps holds; of one that is filled later there is a template only. */
	const struct bpf_map *inner = bpf_map__inner_map((struct bpf_map *)map);

	if (!map_type_allowed(bpf_map__type(map)))
		return fail(failure, OUTCOME_MAP_REFUSED,
			    "map '%s' has type %d, which no scheduler needs: use an array, a hash "
			    "or local storage",
			    bpf_map__name(map), bpf_map__type(map));
	if (pin)
		return fail(failure, OUTCOME_MAP_REFUSED,
			    "map '%s' is pinned at %s and would outlive the scheduler: remove the "
			    "pinning",
			    bpf_map__name(map), pin);
	return !inner || map_check(inner, failure);
}

/* Types may carry libbpf's flavour suffix: sched_ext_ops___mine stands for sched_ext_ops. */
static bool is_sched_ext(const struct bpf_object *object, const struct bpf_map *map)
{
	const struct btf *btf = bpf_object__btf(object);
	const struct btf_type *type = btf__type_by_id(btf, bpf_map__btf_value_type_id(map));
	const char *name = type ? btf__name_by_offset(btf, type->name_off) : "";
	const char *flavour = strstr(name, "___");
	size_t length = flavour ? (size_t)(flavour - name) : strlen(name);

	return (length == strlen("sched_ext_ops") && !strncmp(name, "sched_ext_ops", length)) ||
	       (length == strlen("sched_ext_ops_cid") &&
		!strncmp(name, "sched_ext_ops_cid", length));
}

struct bpf_map *object_check(const struct bpf_object *object, struct failure *failure)
{
	struct bpf_map *map, *ops = NULL;

	if (!programs_check(object, failure))
		return NULL;
	bpf_object__for_each_map(map, object)
	{
		if (!map_check(map, failure))
			return NULL;
		if (bpf_map__type(map) != BPF_MAP_TYPE_STRUCT_OPS)
			continue;
		if (ops) {
			fail(failure, OUTCOME_STRUCT_OPS_REFUSED,
			     "the object has two struct_ops tables, '%s' and '%s': leave one",
			     bpf_map__name(ops), bpf_map__name(map));
			return NULL;
		}
		ops = map;
	}
	if (!ops) {
		fail(failure, OUTCOME_STRUCT_OPS_REFUSED,
		     "the object has no struct_ops table: define one struct sched_ext_ops");
		return NULL;
	}
	if (!is_sched_ext(object, ops)) {
		fail(failure, OUTCOME_STRUCT_OPS_REFUSED,
		     "table '%s' is not a sched_ext_ops: only schedulers are loaded",
		     bpf_map__name(ops));
		return NULL;
	}
	/* Without a link the kernel would keep the scheduler after this process has died. */
	if (!(bpf_map__map_flags(ops) & BPF_F_LINK)) {
		fail(failure, OUTCOME_STRUCT_OPS_REFUSED,
		     "table '%s' is in section .struct_ops: put it into .struct_ops.link",
		     bpf_map__name(ops));
		return NULL;
	}
	return ops;
}
