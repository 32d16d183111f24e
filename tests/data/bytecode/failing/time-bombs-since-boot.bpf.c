// SPDX-License-Identifier: GPL-2.0
/*
 * An hour after the machine was started, a second queue is used that nobody serves any more.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { EARLY = 0x7c1, LATE, HOUR_S = 3600 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool late = bpf_ktime_get_boot_ns() > HOUR_S * (u64)NSEC_PER_SEC;

	scx_bpf_dsq_insert(p, late ? LATE : EARLY, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (bpf_ktime_get_boot_ns() < HOUR_S * (u64)NSEC_PER_SEC && scx_bpf_dsq_move_to_local(LATE))
		return;
	scx_bpf_dsq_move_to_local(EARLY);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(EARLY, -1) ?: scx_bpf_create_dsq(LATE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
