// SPDX-License-Identifier: GPL-2.0
/*
 * Counters that stop before what would be a bomb, and ones after which all is as before.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct own {
	u64 runs;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct own);
} owns SEC(".maps");

static u32 warm;
static u8 lap;
static u64 longest;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct own *own = bpf_task_storage_get(&owns, p, 0, 0);
	u64 slice = own && own->runs < 16 ? 2000000 : SCX_SLICE_DFL;

	if (longest > 18000000)
		slice = 8000000;
	scx_bpf_dsq_insert(p, WAITING, slice, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (warm + 1 < 100)
		warm++;
	lap++;
	if (warm < 200 || lap < 200)
		scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	struct own *own = bpf_task_storage_get(&owns, p, 0, 0);

	if (own && own->runs < 100)
		own->runs++;
}

void SCHEDCP_OPS(v_stopping, struct task_struct *p, bool runnable)
{
	u64 used = SCX_SLICE_DFL - p->scx.slice;

	if (used > longest)
		longest = used;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&owns, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -12;
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
	.init_task = (void *)v_init_task,
	.init = (void *)v_init,
	.name = "variant",
};
