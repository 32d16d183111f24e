// SPDX-License-Identifier: GPL-2.0
/*
 * Q06: keeps control groups to their quota, which it takes for milliseconds: nobody ever reaches
 * it. Stopped at Contract, unless the policy waives cpu.max.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { GOING_Q = 0x5d, HELD_Q };

struct quota {
	u64 period_ns;
	u64 quota_ns;
	u64 used_ns;
	u64 began_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct quota);
} quotas SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(units_init)
{
	s32 err = scx_bpf_create_dsq(GOING_Q, -1);

	return err ?: scx_bpf_create_dsq(HELD_Q, -1);
}

static bool spent(struct task_struct *p, u64 used)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct quota *quota = bpf_cgrp_storage_get(&quotas, cgrp, 0, 0);
	u64 now = bpf_ktime_get_ns();
	bool over = false;

	if (quota && quota->quota_ns) {
		if (now - quota->began_at > quota->period_ns) {
			quota->began_at = now;
			quota->used_ns = 0;
		}
		quota->used_ns += used;
		over = quota->used_ns > quota->quota_ns;
	}
	bpf_cgroup_release(cgrp);
	return over;
}

void SEC("struct_ops/enqueue") BPF_PROG(units_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, spent(p, 0) ? HELD_Q : GOING_Q, 5000000, enq_flags);
}

static u32 turn;

void SEC("struct_ops/dispatch") BPF_PROG(units_dispatch, s32 cpu, struct task_struct *prev)
{
	if (++turn % 8 == 0 && scx_bpf_dsq_move_to_local(HELD_Q))
		return;
	if (!scx_bpf_dsq_move_to_local(GOING_Q))
		scx_bpf_dsq_move_to_local(HELD_Q);
}

void SEC("struct_ops/stopping") BPF_PROG(units_stopping, struct task_struct *p, bool runnable)
{
	if (p->scx.slice < 5000000)
		spent(p, 5000000 - p->scx.slice);
}

void SEC("struct_ops/cgroup_set_bandwidth")
	BPF_PROG(units_cgroup_set_bandwidth, struct cgroup *cgrp, u64 period_us, u64 quota_us,
		 u64 burst_us)
{
	struct quota *quota =
		bpf_cgrp_storage_get(&quotas, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!quota)
		return;
	quota->period_ns = period_us * 1000;
	quota->quota_ns = quota_us == ~0ULL ? 0 : quota_us * 1000000;
}

SEC(".struct_ops.link")
struct sched_ext_ops units_ops = {
	.enqueue = (void *)units_enqueue,
	.dispatch = (void *)units_dispatch,
	.stopping = (void *)units_stopping,
	.cgroup_set_bandwidth = (void *)units_cgroup_set_bandwidth,
	.init = (void *)units_init,
	.name = "keeps_to_quota",
};
