// SPDX-License-Identifier: GPL-2.0
/*
 * There is an hour of CPU time for all together, from which each takes what it has run.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct own {
	u64 began_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct own);
} owns SEC(".maps");

static s64 left = 3600LL * NSEC_PER_SEC;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (left > 0)
		scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	struct own *own = bpf_task_storage_get(&owns, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (own)
		own->began_at = bpf_ktime_get_ns();
}

void SCHEDCP_OPS(v_stopping, struct task_struct *p, bool runnable)
{
	struct own *own = bpf_task_storage_get(&owns, p, 0, 0);

	if (own)
		left -= bpf_ktime_get_ns() - own->began_at;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.running = (void *)v_running,
	.stopping = (void *)v_stopping,
	.init = (void *)v_init,
	.name = "variant",
};
