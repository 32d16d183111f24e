// SPDX-License-Identifier: GPL-2.0
/*
 * Q05: takes note of a control group's weight when it is made, when it is the default one still,
 * and not of what is written there later.
 * Stopped at Contract, unless the policy waives cpu.weight.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define NOTED_Q 0x5b

const volatile u64 slice_ns = 5000000;
const volatile u64 lag_ns = 300000000;

struct noted {
	u64 vtime;
	u32 weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct noted);
} noted_of SEC(".maps");

static u64 average, changes;

s32 SEC("struct_ops.s/init") BPF_PROG(note_init)
{
	return scx_bpf_create_dsq(NOTED_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(note_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct noted *noted = bpf_cgrp_storage_get(&noted_of, cgrp, 0, 0);
	u64 ahead = 0;

	if (noted && (s64)(noted->vtime - average) > 0)
		ahead = noted->vtime - average;
	bpf_cgroup_release(cgrp);
	if (ahead > lag_ns)
		ahead = lag_ns;
	scx_bpf_dsq_insert_vtime(p, NOTED_Q, slice_ns, bpf_ktime_get_ns() + ahead, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(note_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(NOTED_Q);
}

void SEC("struct_ops/stopping") BPF_PROG(note_stopping, struct task_struct *p, bool runnable)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct noted *noted = bpf_cgrp_storage_get(&noted_of, cgrp, 0, 0);

	if (noted && p->scx.slice < slice_ns) {
		__sync_fetch_and_add(&noted->vtime,
				     (slice_ns - p->scx.slice) * 100 / (noted->weight ?: 1));
		average += (s64)(noted->vtime - average) / 16;
	}
	bpf_cgroup_release(cgrp);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(note_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct noted *noted =
		bpf_cgrp_storage_get(&noted_of, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!noted)
		return -12;
	noted->vtime = average;
	noted->weight = args->weight;
	return 0;
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(note_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	__sync_fetch_and_add(&changes, 1);
}

SEC(".struct_ops.link")
struct sched_ext_ops note_ops = {
	.enqueue = (void *)note_enqueue,
	.dispatch = (void *)note_dispatch,
	.stopping = (void *)note_stopping,
	.cgroup_init = (void *)note_cgroup_init,
	.cgroup_set_weight = (void *)note_cgroup_set_weight,
	.init = (void *)note_init,
	.name = "takes_note",
};
