// SPDX-License-Identifier: GPL-2.0
/*
 * Entries by task and second, and only those of second 0 are struck out.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct moment {
	u32 pid, second;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 20);
	__type(key, struct moment);
	__type(value, u64);
} moments SEC(".maps");

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_stopping, struct task_struct *p, bool runnable)
{
	struct moment moment = {p->pid, bpf_ktime_get_ns() / NSEC_PER_SEC};
	u64 weight = p->scx.weight;

	bpf_map_update_elem(&moments, &moment, &weight, BPF_ANY);
}

void SCHEDCP_OPS(v_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct moment moment = {p->pid};

	bpf_map_delete_elem(&moments, &moment);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.stopping = (void *)v_stopping,
	.exit_task = (void *)v_exit_task,
	.init = (void *)v_init,
	.name = "variant",
};
