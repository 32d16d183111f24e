// SPDX-License-Identifier: GPL-2.0
/*
 * Knows three hundred tasks, and lets no more in.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 300);
	__type(key, u64);
	__type(value, u32);
} known SEC(".maps");

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	u64 key = (u64)p;
	u32 weight = p->scx.weight;

	return bpf_map_update_elem(&known, &key, &weight, BPF_NOEXIST);
}

void SCHEDCP_OPS(v_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	u64 key = (u64)p;

	bpf_map_delete_elem(&known, &key);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.init_task = (void *)v_init_task,
	.exit_task = (void *)v_exit_task,
	.name = "variant",
};
