// SPDX-License-Identifier: GPL-2.0
/*
 * Kernel threads sort a few milliseconds of virtual time behind everybody.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, PF_KTHREAD = 0x200000 };

static u64 now;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 order = p->scx.dsq_vtime;

	if ((s64)(order - (now - SCX_SLICE_DFL)) < 0)
		order = now - SCX_SLICE_DFL;
	if (p->flags & PF_KTHREAD)
		order = now + 3ULL * NSEC_PER_MSEC;
	scx_bpf_dsq_insert_vtime(p, WAITING, SCX_SLICE_DFL, order, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	if ((s64)(p->scx.dsq_vtime - now) > 0)
		now = p->scx.dsq_vtime;
}

void SCHEDCP_OPS(v_stopping, struct task_struct *p, bool runnable)
{
	p->scx.dsq_vtime += (SCX_SLICE_DFL - p->scx.slice) * 100 / p->scx.weight;
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
	.stopping = (void *)v_stopping,
	.init = (void *)v_init,
	.name = "variant",
};
