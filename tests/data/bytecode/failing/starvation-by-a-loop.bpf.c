// SPDX-License-Identifier: GPL-2.0
/*
 * Four classes by nice, and a loop that always begins with the first.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { CLASS = 0x600 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, CLASS + ((p->static_prio - 100) / 10 & 3), SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i;

	bpf_for (i, 0, 4) {
		if (scx_bpf_dsq_move_to_local(CLASS + i))
			return;
	}
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	s32 i, err;

	bpf_for (i, 0, 4) {
		err = scx_bpf_create_dsq(CLASS + i, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
