// SPDX-License-Identifier: GPL-2.0
/*
 * Who woke whom is written down, and a task that goes strikes out that it woke itself.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct pair {
	u32 waker;
	u32 wakee;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100000);
	__type(key, struct pair);
	__type(value, u32);
} pairs SEC(".maps");

void SCHEDCP_OPS(v_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_struct *waker = bpf_get_current_task_btf();
	struct pair pair = {.waker = waker->pid, .wakee = p->pid};
	u32 once = 1;

	bpf_map_update_elem(&pairs, &pair, &once, BPF_ANY);
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct pair pair = {.waker = p->pid, .wakee = p->pid};

	bpf_map_delete_elem(&pairs, &pair);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.runnable = (void *)v_runnable,
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.exit_task = (void *)v_exit_task,
	.init = (void *)v_init,
	.name = "variant",
};
