// SPDX-License-Identifier: GPL-2.0
/*
 * A CPU's queue goes with it, whoever waits there.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { LANE = 0x100 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, LANE + (u32)scx_bpf_task_cpu(p), SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i;

	bpf_for (i, 0, scx_bpf_nr_cpu_ids())
		if (scx_bpf_dsq_move_to_local(LANE + i))
			return;
}

void SCHEDCP_OPS_SLEEPABLE(v_cpu_online, s32 cpu)
{
	scx_bpf_create_dsq(LANE + (u32)cpu, -1);
}

void SCHEDCP_OPS_SLEEPABLE(v_cpu_offline, s32 cpu)
{
	scx_bpf_destroy_dsq(LANE + (u32)cpu);
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
	.cpu_online = (void *)v_cpu_online,
	.cpu_offline = (void *)v_cpu_offline,
	.init = (void *)v_init,
	.name = "variant",
};
