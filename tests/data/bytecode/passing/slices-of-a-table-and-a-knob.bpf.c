// SPDX-License-Identifier: GPL-2.0
/*
 * The slices are a knob that init writes into a table, and one of nothing is passed over.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, CLASSES = 2, MIDDLE = 100 };

const volatile u64 slice_ns = 5000000;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CLASSES);
	__type(key, u32);
	__type(value, u64);
} turns SEC(".maps");

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 heavy = 1, light = 0;
	u64 *turn = bpf_map_lookup_elem(&turns, p->scx.weight > MIDDLE ? &heavy : &light);

	scx_bpf_dsq_insert(p, WAITING, turn && *turn ? *turn : SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	u32 heavy = 1, light = 0;
	u64 nothing = 0;

	bpf_map_update_elem(&turns, &light, &nothing, BPF_ANY);
	bpf_map_update_elem(&turns, &heavy, (const void *)&slice_ns, BPF_ANY);
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
