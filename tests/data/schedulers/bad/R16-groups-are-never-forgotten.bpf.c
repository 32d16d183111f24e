// SPDX-License-Identifier: GPL-2.0
/*
 * R16: each control group takes a place in a table and none gives it back, so that pods that come
 * and go use it up.
 * Stopped at Bytecode or Dynamic: after a hundred control groups.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LISTED 0xe2

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, u64);
	__type(value, u32);
} listed SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(listed_init)
{
	return scx_bpf_create_dsq(LISTED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(listed_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, LISTED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(listed_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(LISTED);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(listed_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u64 id = cgrp->kn->id;
	u32 weight = args->weight;

	return bpf_map_update_elem(&listed, &id, &weight, BPF_ANY);
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(listed_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	u64 id = cgrp->kn->id;
	u32 *known = bpf_map_lookup_elem(&listed, &id);

	if (known)
		*known = weight;
}

SEC(".struct_ops.link")
struct sched_ext_ops listed_ops = {
	.enqueue = (void *)listed_enqueue,
	.dispatch = (void *)listed_dispatch,
	.cgroup_init = (void *)listed_cgroup_init,
	.cgroup_set_weight = (void *)listed_cgroup_set_weight,
	.init = (void *)listed_init,
	.name = "lists_groups",
};
