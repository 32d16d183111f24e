// SPDX-License-Identifier: GPL-2.0
/*
 * An allowance that user space is to renew, and programs use up.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} used SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} allowed SEC(".maps");

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u64 *spent = bpf_map_lookup_elem(&used, &zero);
	u64 *most = bpf_map_lookup_elem(&allowed, &zero);

	if (!spent || !most)
		return;
	if (*spent < *most + 10000 && scx_bpf_dsq_move_to_local(WAITING))
		__sync_fetch_and_add(spent, 1);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
