// SPDX-License-Identifier: GPL-2.0
/*
 * Looks the first eight letters of a name up in a table.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, u64);
	__type(value, u64);
} friends SEC(".maps");

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 word = 0, *found;

	bpf_probe_read_kernel(&word, sizeof(word), p->comm);
	found = bpf_map_lookup_elem(&friends, &word);
	scx_bpf_dsq_insert(p, WAITING, found ? 40000000 : 2000000, enq_flags);
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
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
