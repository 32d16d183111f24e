// SPDX-License-Identifier: GPL-2.0
/*
 * cpu.weight, flattened: each control group has a virtual time, and competes with all others as if
 * they were siblings. A group that is ahead waits for as long as it is ahead, `lag_most_ns` of real
 * time at most; one that was idle keeps that much credit at most.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define GROUPS 0x600

const volatile u64 slice_ns = 5000000;
const volatile u64 lag_most_ns = 500000000;

enum { NO_MEMORY = 12, WEIGHT_DFL = 100, SMOOTHING = 16 };

struct group_ctx {
	u64 vtime;
	u32 weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct group_ctx);
} groups SEC(".maps");

static u64 average_vtime;

static u64 lag_of(struct task_struct *p)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct group_ctx *group = bpf_cgrp_storage_get(&groups, cgrp, 0, 0);
	u64 lag = 0;

	if (group && (s64)(average_vtime - group->vtime) > (s64)lag_most_ns)
		group->vtime = average_vtime - lag_most_ns;
	if (group && (s64)(group->vtime - average_vtime) > 0)
		lag = group->vtime - average_vtime;
	bpf_cgroup_release(cgrp);
	return lag < lag_most_ns ? lag : lag_most_ns;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(group_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(group_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 order = bpf_ktime_get_ns() + lag_of(p);
	s32 idle;

	scx_bpf_dsq_insert_vtime(p, GROUPS, slice_ns, order, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(group_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(GROUPS);
}

void SEC("struct_ops/stopping") BPF_PROG(group_stopping, struct task_struct *p, bool runnable)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct group_ctx *group = bpf_cgrp_storage_get(&groups, cgrp, 0, 0);
	u64 used = slice_ns > p->scx.slice ? slice_ns - p->scx.slice : 0;

	if (group) {
		__sync_fetch_and_add(&group->vtime, used * WEIGHT_DFL / (group->weight ?: 1));
		average_vtime += (s64)(group->vtime - average_vtime) / SMOOTHING;
	}
	bpf_cgroup_release(cgrp);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(group_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct group_ctx *group =
		bpf_cgrp_storage_get(&groups, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!group)
		return -NO_MEMORY;
	group->vtime = average_vtime;
	group->weight = args->weight;
	return 0;
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(group_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	struct group_ctx *group = bpf_cgrp_storage_get(&groups, cgrp, 0, 0);

	if (group)
		group->weight = weight;
}

s32 SEC("struct_ops.s/init") BPF_PROG(group_init)
{
	return scx_bpf_create_dsq(GROUPS, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops group_ops = {
	.select_cpu = (void *)group_select_cpu,
	.enqueue = (void *)group_enqueue,
	.dispatch = (void *)group_dispatch,
	.stopping = (void *)group_stopping,
	.cgroup_init = (void *)group_cgroup_init,
	.cgroup_set_weight = (void *)group_cgroup_set_weight,
	.init = (void *)group_init,
	.name = "cgroup_shares",
};
