// SPDX-License-Identifier: GPL-2.0
/*
 * The process that woke last has 40 turns in a row.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { FAVOURED = 0x9, BEHIND };

static u32 chosen, row;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (enq_flags & SCX_ENQ_WAKEUP)
		chosen = p->tgid;
	scx_bpf_dsq_insert(p, p->tgid == chosen ? FAVOURED : BEHIND, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (row < 40 && scx_bpf_dsq_move_to_local(FAVOURED)) {
		row++;
		return;
	}
	row = 0;
	if (!scx_bpf_dsq_move_to_local(BEHIND))
		scx_bpf_dsq_move_to_local(FAVOURED);
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
