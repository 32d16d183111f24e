// SPDX-License-Identifier: GPL-2.0
/*
 * Control groups that have used their quota of the period wait in a second queue. A new period
 * begins with the first dispatch after its time, and then each CPU serves the second queue with
 * every other task, until those who were there when it began have run.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define RUNNING_ON 0x41
#define HELD_BACK  0x42

const volatile u64 period_ns = 100000000;
const volatile u64 quota_ns = 60000000;

enum { NO_MEMORY = 12 };

struct spent {
	u64 period;
	u64 ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct spent);
} spents SEC(".maps");

static u64 released_in;
static s64 to_release;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, bool);
} released_one SEC(".maps");

static struct spent *spent_of(struct cgroup *cgrp)
{
	struct spent *spent = bpf_cgrp_storage_get(&spents, cgrp, 0, 0);
	u64 period = bpf_ktime_get_ns() / (period_ns ?: 1);

	if (spent && spent->period != period) {
		spent->period = period;
		spent->ns = 0;
	}
	return spent;
}

void SEC("struct_ops/enqueue") BPF_PROG(quota_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct spent *spent = spent_of(cgrp);
	bool over = spent && spent->ns > quota_ns;
	s32 idle;

	bpf_cgroup_release(cgrp);
	scx_bpf_dsq_insert(p, over ? HELD_BACK : RUNNING_ON, 5000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(quota_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 period = bpf_ktime_get_ns() / (period_ns ?: 1);
	u32 zero = 0;
	bool *released = bpf_map_lookup_elem(&released_one, &zero);

	if (period != released_in) {
		released_in = period;
		to_release = scx_bpf_dsq_nr_queued(HELD_BACK);
	}
	if (released && to_release > 0) {
		*released = !*released;
		if (*released) {
			__sync_fetch_and_sub(&to_release, 1);
			if (scx_bpf_dsq_move_to_local(HELD_BACK))
				return;
		}
	}
	/* A CPU that has nothing else to do does not wait for the next period. */
	if (!scx_bpf_dsq_move_to_local(RUNNING_ON))
		scx_bpf_dsq_move_to_local(HELD_BACK);
}

void SEC("struct_ops/stopping") BPF_PROG(quota_stopping, struct task_struct *p, bool runnable)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct spent *spent = spent_of(cgrp);

	if (spent && p->scx.slice < 5000000)
		__sync_fetch_and_add(&spent->ns, 5000000 - p->scx.slice);
	bpf_cgroup_release(cgrp);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(quota_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	return bpf_cgrp_storage_get(&spents, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0
										      : -NO_MEMORY;
}

s32 SEC("struct_ops.s/init") BPF_PROG(quota_init)
{
	s32 err = scx_bpf_create_dsq(RUNNING_ON, -1);

	return err ?: scx_bpf_create_dsq(HELD_BACK, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops quota_ops = {
	.enqueue = (void *)quota_enqueue,
	.dispatch = (void *)quota_dispatch,
	.stopping = (void *)quota_stopping,
	.cgroup_init = (void *)quota_cgroup_init,
	.init = (void *)quota_init,
	.name = "throttles_with_refill",
};
