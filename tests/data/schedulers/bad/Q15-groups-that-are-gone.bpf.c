// SPDX-License-Identifier: GPL-2.0
/*
 * Q15: an entry for each control group, allocated when it comes and still there when it has gone.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LIST_Q 0x8e

struct entry {
	u64 id;
	u64 weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 300000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct entry);
} entries SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(entries_init)
{
	return scx_bpf_create_dsq(LIST_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(entries_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, LIST_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(entries_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(LIST_Q);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(entries_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct entry entry = {.id = cgrp->kn->id, .weight = args->weight};

	bpf_map_update_elem(&entries, &entry.id, &entry, BPF_ANY);
	return 0;
}

void SEC("struct_ops.s/cgroup_exit") BPF_PROG(entries_cgroup_exit, struct cgroup *cgrp)
{
	u64 id = cgrp->kn->id;
	struct entry *entry = bpf_map_lookup_elem(&entries, &id);

	if (entry)
		entry->weight = 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops entries_ops = {
	.enqueue = (void *)entries_enqueue,
	.dispatch = (void *)entries_dispatch,
	.cgroup_init = (void *)entries_cgroup_init,
	.cgroup_exit = (void *)entries_cgroup_exit,
	.init = (void *)entries_init,
	.name = "lists_entries",
};
