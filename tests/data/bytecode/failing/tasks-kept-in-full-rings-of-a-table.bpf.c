// SPDX-License-Identifier: GPL-2.0
/*
 * Rings are found through a map of maps, and nobody looks whether a task fits.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

struct ring {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4096);
	__type(value, s32);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, u32);
	__array(values, struct ring);
} rings SEC(".maps") = {.values = {&first, &second}};

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 which = p->scx.weight > WEIGHT_DEFAULT;
	void *ring = bpf_map_lookup_elem(&rings, &which);
	s32 pid = p->pid;

	if (!ring) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	bpf_map_push_elem(ring, &pid, BPF_ANY);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 which = bpf_get_prandom_u32() & 1;
	void *ring = bpf_map_lookup_elem(&rings, &which);
	struct task_struct *p;
	s32 pid;

	if (!ring || bpf_map_pop_elem(ring, &pid))
		return;
	p = bpf_task_from_pid(pid);
	if (!p)
		return;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
	bpf_task_release(p);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.name = "variant",
};
