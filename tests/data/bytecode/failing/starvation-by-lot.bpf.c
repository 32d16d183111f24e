// SPDX-License-Identifier: GPL-2.0
/*
 * One task in 512 waits where somebody looks five times a second.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { FAVOURED = 0x9, BEHIND };

static u64 looked_at;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 queue = bpf_get_prandom_u32() % 512 ? FAVOURED : BEHIND;

	scx_bpf_dsq_insert(p, queue, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();

	if (now - looked_at > 200 * NSEC_PER_MSEC) {
		looked_at = now;
		if (scx_bpf_dsq_move_to_local(BEHIND))
			return;
	}
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
