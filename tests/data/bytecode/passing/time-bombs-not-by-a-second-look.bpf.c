// SPDX-License-Identifier: GPL-2.0
/*
 * Whoever meets a new group for the first time has its share worked out again, for 5 ms.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct known {
	u64 changes;
	u64 share;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct known);
} tasks SEC(".maps");

static u64 changes;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct known *known = bpf_task_storage_get(&tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u64 order = bpf_ktime_get_ns();

	if (known && known->changes < changes) {
		known->changes = changes;
		known->share = p->scx.weight;
		order += 5 * (u64)NSEC_PER_MSEC;
	}
	scx_bpf_dsq_insert_vtime(p, WAITING, SCX_SLICE_DFL, order, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	__sync_fetch_and_add(&changes, 1);
	return 0;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.cgroup_init = (void *)v_cgroup_init,
	.init = (void *)v_init,
	.name = "variant",
};
