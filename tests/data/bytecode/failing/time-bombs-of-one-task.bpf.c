// SPDX-License-Identifier: GPL-2.0
/*
 * Who has run fifty thousand times goes to the head, and in the end everybody has.
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

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct own *own = bpf_task_storage_get(&owns, p, 0, 0);
	bool old = own && own->runs > 50000;

	if (old)
		enq_flags |= SCX_ENQ_HEAD;
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	struct own *own = bpf_task_storage_get(&owns, p, 0, 0);

	if (own)
		own->runs++;
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
	.init_task = (void *)v_init_task,
	.init = (void *)v_init,
	.name = "variant",
};
