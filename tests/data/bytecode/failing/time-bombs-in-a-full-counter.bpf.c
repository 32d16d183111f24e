// SPDX-License-Identifier: GPL-2.0
/*
 * A counter that stops at its limit, where dispatch stops, too.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

static u32 seen;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (seen != 20000)
		scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	if (seen < 20000)
		seen++;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.running = (void *)v_running,
	.init = (void *)v_init,
	.name = "variant",
};
