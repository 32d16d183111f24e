// SPDX-License-Identifier: GPL-2.0
/*
 * A CPU looks into some queue once in eight times.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { LANE = 0x100 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, LANE + (u32)scx_bpf_task_cpu(p), SCX_SLICE_DFL, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 drawn = bpf_get_prandom_u32(), cpus = scx_bpf_nr_cpu_ids(), i;

	if (drawn % 8 == 0 && scx_bpf_dsq_move_to_local(LANE + (drawn >> 8) % (cpus ?: 1)))
		return;
	if (scx_bpf_dsq_move_to_local(LANE + (u32)cpu))
		return;
	bpf_for (i, 0, cpus)
		if (scx_bpf_dsq_move_to_local(LANE + i))
			return;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	s32 err = 0;
	u32 i;

	bpf_for (i, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(LANE + i, -1);
		if (err)
			break;
	}
	return err;
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
