// SPDX-License-Identifier: GPL-2.0
/*
 * Groups that are listed have 11 of 12 turns.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { FAVOURED = 0x9, BEHIND };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, u64);
	__type(value, u8);
} listed SEC(".maps");

static u64 turns;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	u64 id = cgrp->kn->id;
	bool found = bpf_map_lookup_elem(&listed, &id);

	bpf_cgroup_release(cgrp);
	scx_bpf_dsq_insert(p, found ? FAVOURED : BEHIND, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (__sync_fetch_and_add(&turns, 1) % 12 == 0 && scx_bpf_dsq_move_to_local(BEHIND))
		return;
	if (!scx_bpf_dsq_move_to_local(FAVOURED))
		scx_bpf_dsq_move_to_local(BEHIND);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(FAVOURED, -1) ?: scx_bpf_create_dsq(BEHIND, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
