// SPDX-License-Identifier: GPL-2.0
/*
 * A ring of its own with an overflow queue, served in turns.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { READY = 0x71, OVERFLOW };

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1024);
	__type(value, s32);
} ring SEC(".maps");

static u64 turn;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&ring, &pid, 0))
		scx_bpf_dsq_insert(p, OVERFLOW, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid;

	if ((__sync_fetch_and_add(&turn, 1) & 1) && scx_bpf_dsq_move_to_local(OVERFLOW))
		return;
	if (!bpf_map_pop_elem(&ring, &pid)) {
		p = bpf_task_from_pid(pid);
		if (p) {
			scx_bpf_dsq_insert(p, READY, SCX_SLICE_DFL, 0);
			bpf_task_release(p);
		}
	}
	if (!scx_bpf_dsq_move_to_local(READY))
		scx_bpf_dsq_move_to_local(OVERFLOW);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(READY, -1) ?: scx_bpf_create_dsq(OVERFLOW, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
