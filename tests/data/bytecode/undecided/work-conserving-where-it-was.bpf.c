// SPDX-License-Identifier: GPL-2.0
/*
 * A queue for each CPU, for whoever was there, and nobody else takes from it.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { BASE = 0x300 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, BASE + cpu, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BASE + cpu);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	s32 i, err;

	bpf_for (i, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(BASE + i, -1);
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
