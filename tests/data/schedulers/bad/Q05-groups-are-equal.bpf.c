// SPDX-License-Identifier: GPL-2.0
/*
 * Q05: shares between control groups, equally: cpu.weight is not asked for.
 * Stopped at Contract, unless the policy waives cpu.weight.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define GROUPED_Q 0x5a

const volatile u64 slice_ns = 5000000;
const volatile u64 lag_ns = 300000000;

struct group_time {
	u64 vtime;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct group_time);
} times SEC(".maps");

static u64 average;

s32 SEC("struct_ops.s/init") BPF_PROG(alike_init)
{
	return scx_bpf_create_dsq(GROUPED_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(alike_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct group_time *time = bpf_cgrp_storage_get(&times, cgrp, 0, 0);
	u64 ahead = 0;

	if (time && (s64)(time->vtime - average) > 0)
		ahead = time->vtime - average;
	if (ahead > lag_ns)
		ahead = lag_ns;
	bpf_cgroup_release(cgrp);
	scx_bpf_dsq_insert_vtime(p, GROUPED_Q, slice_ns, bpf_ktime_get_ns() + ahead, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(alike_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(GROUPED_Q);
}

void SEC("struct_ops/stopping") BPF_PROG(alike_stopping, struct task_struct *p, bool runnable)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct group_time *time = bpf_cgrp_storage_get(&times, cgrp, 0, 0);

	if (time && p->scx.slice < slice_ns) {
		__sync_fetch_and_add(&time->vtime, slice_ns - p->scx.slice);
		average += (s64)(time->vtime - average) / 16;
	}
	bpf_cgroup_release(cgrp);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(alike_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct group_time *time =
		bpf_cgrp_storage_get(&times, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!time)
		return -12;
	time->vtime = average;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops alike_ops = {
	.enqueue = (void *)alike_enqueue,
	.dispatch = (void *)alike_dispatch,
	.stopping = (void *)alike_stopping,
	.cgroup_init = (void *)alike_cgroup_init,
	.init = (void *)alike_init,
	.name = "groups_alike",
};
