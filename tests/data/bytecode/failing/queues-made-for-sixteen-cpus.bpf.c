// SPDX-License-Identifier: GPL-2.0
/*
 * A queue for each CPU, of which init makes sixteen.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, scx_bpf_task_cpu(p), SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 other;

	if (scx_bpf_dsq_move_to_local(cpu))
		return;
	bpf_for (other, 0, scx_bpf_nr_cpu_ids())
		if (scx_bpf_dsq_move_to_local(other))
			return;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, 16) {
		err = scx_bpf_create_dsq(cpu, -1);
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
