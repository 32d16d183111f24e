// SPDX-License-Identifier: GPL-2.0
/* Set `const volatile` globals and members of the struct_ops table by name, before load. */
#include "loader.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KNOB_NAME_MAX = 64 };

struct knob {
	uint32_t offset;
	uint32_t size;
	bool is_signed;
	bool is_bool;
};

static bool knob_find(const struct btf *btf, const char *name, struct knob *knob)
{
	int section_id = btf__find_by_name_kind(btf, ".rodata", BTF_KIND_DATASEC);
	const struct btf_type *section = section_id > 0 ? btf__type_by_id(btf, section_id) : NULL;

	for (int i = 0; section && i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *info = btf_var_secinfos(section) + i;
		const struct btf_type *variable = btf__type_by_id(btf, info->type);
		const struct btf_type *type;
		int type_id;

		if (strcmp(btf__name_by_offset(btf, variable->name_off), name) ||
		    btf_var(variable)->linkage != BTF_VAR_GLOBAL_ALLOCATED)
			continue;
		type_id = btf__resolve_type(btf, variable->type);
		type = type_id > 0 ? btf__type_by_id(btf, type_id) : NULL;
		if (!type || !btf_is_int(type))
			return false;
		knob->offset = info->offset;
		knob->size = info->size;
		knob->is_signed = btf_int_encoding(type) & BTF_INT_SIGNED;
		knob->is_bool = btf_int_encoding(type) & BTF_INT_BOOL;
		return true;
	}
	return false;
}

static bool value_parse(const struct knob *knob, const char *text, uint64_t *value)
{
	unsigned int bits = knob->size * 8;
	char *end;

	if (knob->is_bool && (!strcmp(text, "true") || !strcmp(text, "false"))) {
		*value = !strcmp(text, "true");
		return true;
	}
	errno = 0;
	if (knob->is_signed) {
		int64_t number = strtoll(text, &end, 0);
		int64_t limit = bits < 64 ? (INT64_C(1) << (bits - 1)) - 1 : INT64_MAX;

		*value = (uint64_t)number;
		return !errno && end != text && !*end && number <= limit && number >= -limit - 1;
	}
	*value = strtoull(text, &end, 0);
	if (errno || end == text || *end || strchr(text, '-'))
		return false;
	return knob->is_bool ? *value <= 1 : bits >= 64 || *value >> bits == 0;
}

bool knob_set(struct bpf_object *object, const char *assignment, struct failure *failure)
{
	const char *equals = strchr(assignment, '=');
	struct bpf_map *rodata = bpf_object__find_map_by_name(object, ".rodata");
	char name[KNOB_NAME_MAX] = "";
	struct knob knob = {};
	size_t section_size = 0;
	uint64_t value;
	char *section;

	if (!equals || equals == assignment || equals - assignment >= KNOB_NAME_MAX)
		return fail(failure, OUTCOME_USAGE, "--knob '%s' is not NAME=VALUE", assignment);
	memcpy(name, assignment, (size_t)(equals - assignment));
	section = rodata ? bpf_map__initial_value(rodata, &section_size) : NULL;
	if (!section || !knob_find(bpf_object__btf(object), name, &knob) ||
	    knob.size > sizeof(value) || knob.offset + knob.size > section_size)
		return fail(failure, OUTCOME_KNOB_REFUSED,
			    "the scheduler has no integer knob '%s': see its manifest", name);
	if (!value_parse(&knob, equals + 1, &value))
		return fail(failure, OUTCOME_KNOB_REFUSED,
			    "'%s' does not fit knob '%s' (%u bytes, %s): see its manifest",
			    equals + 1, name, knob.size,
			    knob.is_bool     ? "true or false"
			    : knob.is_signed ? "signed"
					     : "unsigned");
	/* Little-endian hosts only, like every kernel that has sched_ext today. */
	memcpy(section + knob.offset, &value, knob.size);
	return true;
}

static char *ops_member(const struct bpf_object *object, const struct bpf_map *ops,
			const char *member, size_t *member_size)
{
	const struct btf *btf = bpf_object__btf(object);
	const struct btf_type *type = btf__type_by_id(btf, bpf_map__btf_value_type_id(ops));
	size_t size = 0;
	char *table = bpf_map__initial_value(ops, &size);

	for (int i = 0; table && type && i < btf_vlen(type); i++) {
		const struct btf_member *candidate = btf_members(type) + i;
		size_t offset = btf_member_bit_offset(type, i) / 8;
		long long resolved = btf__resolve_size(btf, candidate->type);

		if (strcmp(btf__name_by_offset(btf, candidate->name_off), member))
			continue;
		if (resolved <= 0 || offset + (size_t)resolved > size)
			return NULL;
		*member_size = (size_t)resolved;
		return table + offset;
	}
	return NULL;
}

bool ops_set_integer(const struct bpf_object *object, struct bpf_map *ops, const char *member,
		     uint64_t value)
{
	size_t size = 0;
	char *place = ops_member(object, ops, member, &size);

	if (!place || size > sizeof(value))
		return false;
	memcpy(place, &value, size);
	return true;
}

void ops_name(const struct bpf_object *object, const struct bpf_map *ops, char name[OPS_NAME_MAX])
{
	size_t size = 0;
	const char *place = ops_member(object, ops, "name", &size);

	memset(name, 0, OPS_NAME_MAX);
	if (place)
		strncpy(name, place, size < OPS_NAME_MAX ? size : OPS_NAME_MAX - 1);
}
