// SPDX-License-Identifier: GPL-2.0
/*
 * T10: control groups that used their share are throttled, and each period lets one task go on,
 * however many wait: the queue grows and the last of it is never reached.
 * Stopped at Bytecode or Dynamic: with many tasks in a busy group.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { FREE_Q = 0x3a2, THROTTLED_Q };

const volatile u64 period_ns = 500000000;

struct quota {
	u64 period;
	u64 ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct quota);
} quotas SEC(".maps");

static u64 let_go_in;

static bool over_quota(struct task_struct *p, u64 used)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct quota *quota =
		bpf_cgrp_storage_get(&quotas, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u64 period = bpf_ktime_get_ns() / period_ns;
	bool over = false;

	if (quota) {
		if (quota->period != period)
			quota->ns = 0;
		quota->period = period;
		quota->ns += used;
		over = quota->ns > period_ns / 2;
	}
	bpf_cgroup_release(cgrp);
	return over;
}

s32 SEC("struct_ops.s/init") BPF_PROG(period_init)
{
	s32 err = scx_bpf_create_dsq(FREE_Q, -1);

	return err ?: scx_bpf_create_dsq(THROTTLED_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(period_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, over_quota(p, 0) ? THROTTLED_Q : FREE_Q, 5000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(period_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 period = bpf_ktime_get_ns() / period_ns;

	if (period != let_go_in) {
		let_go_in = period;
		if (scx_bpf_dsq_move_to_local(THROTTLED_Q))
			return;
	}
	scx_bpf_dsq_move_to_local(FREE_Q);
}

void SEC("struct_ops/stopping") BPF_PROG(period_stopping, struct task_struct *p, bool runnable)
{
	if (p->scx.slice < 5000000)
		over_quota(p, 5000000 - p->scx.slice);
}

SEC(".struct_ops.link")
struct sched_ext_ops period_ops = {
	.enqueue = (void *)period_enqueue,
	.dispatch = (void *)period_dispatch,
	.stopping = (void *)period_stopping,
	.init = (void *)period_init,
	.name = "one_a_period",
};
