// SPDX-License-Identifier: GPL-2.0
/*
 * R16: the hundred-and-first control group does not fit into the table, and is refused.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, u64);
	__type(value, u32);
} groups SEC(".maps");

s32 SEC("struct_ops/room_select_cpu")
	BPF_PROG(room_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/room_enqueue") BPF_PROG(room_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
}

s32 SEC("struct_ops/room_cgroup_init")
	BPF_PROG(room_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u64 id = cgrp->kn->id;
	u32 w = args->weight;

	if (bpf_map_update_elem(&groups, &id, &w, 0) < 0)
		return -28;
	return 0;
}

void SEC("struct_ops/room_cgroup_exit") BPF_PROG(room_cgroup_exit, struct cgroup *cgrp)
{
	u64 id = cgrp->kn->id;

	bpf_map_delete_elem(&groups, &id);
}

SEC(".struct_ops.link")
struct sched_ext_ops room_ops = {
	.select_cpu = (void *)room_select_cpu,
	.enqueue = (void *)room_enqueue,
	.cgroup_init = (void *)room_cgroup_init,
	.cgroup_exit = (void *)room_cgroup_exit,
	.name = "room",
};
