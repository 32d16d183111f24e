// SPDX-License-Identifier: GPL-2.0
/*
 * Who is queued goes to the node that its ring of four forgets next.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { NODE = 0x100, NODES = 8, PLACES = 4 };

struct walk {
	u32 nodes[PLACES];
	u32 turn;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct walk);
} walks SEC(".maps");

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct walk *walk = bpf_task_storage_get(&walks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u64 node = 0;

	if (walk)
		node = walk->nodes[walk->turn % PLACES];
	scx_bpf_dsq_insert(p, NODE + (node & (NODES - 1)), SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i;

	for (i = 0; i < NODES; i++)
		if (scx_bpf_dsq_move_to_local(NODE + ((scx_bpf_cpu_node(cpu) + i) & (NODES - 1))))
			return;
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	struct walk *walk = bpf_task_storage_get(&walks, p, 0, 0);

	if (!walk)
		return;
	walk->nodes[walk->turn % PLACES] = scx_bpf_cpu_node(scx_bpf_task_cpu(p));
	walk->turn++;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	s32 err = 0;
	u32 i;

	for (i = 0; i < NODES && !err; i++)
		err = scx_bpf_create_dsq(NODE + i, -1);
	return err;
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.running = (void *)v_running,
	.init = (void *)v_init,
	.name = "variant",
};
