// SPDX-License-Identifier: GPL-2.0
/*
 * Q06: is told what cpu.max is and writes it down.
 * Stopped at Contract, unless the policy waives cpu.max.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LIMITED_Q 0x5c

struct limit {
	u64 period_us;
	u64 quota_us;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct limit);
} limits SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(limit_init)
{
	return scx_bpf_create_dsq(LIMITED_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(limit_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, LIMITED_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(limit_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(LIMITED_Q);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(limit_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	return 0;
}

void SEC("struct_ops/cgroup_set_bandwidth")
	BPF_PROG(limit_cgroup_set_bandwidth, struct cgroup *cgrp, u64 period_us, u64 quota_us,
		 u64 burst_us)
{
	struct limit *limit =
		bpf_cgrp_storage_get(&limits, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!limit)
		return;
	limit->period_us = period_us;
	limit->quota_us = quota_us;
}

SEC(".struct_ops.link")
struct sched_ext_ops limit_ops = {
	.enqueue = (void *)limit_enqueue,
	.dispatch = (void *)limit_dispatch,
	.cgroup_init = (void *)limit_cgroup_init,
	.cgroup_set_bandwidth = (void *)limit_cgroup_set_bandwidth,
	.init = (void *)limit_init,
	.name = "knows_limits",
};
