// SPDX-License-Identifier: GPL-2.0
/*
 * The last CPU is kept free for tasks that are bound to it.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, BOUND };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->nr_cpus_allowed == 1 ? BOUND : WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 last = scx_bpf_nr_cpu_ids() - 1;

	if (scx_bpf_dsq_move_to_local(BOUND))
		return;
	if (last > 0 && cpu == last)
		return;
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1) ?: scx_bpf_create_dsq(BOUND, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
