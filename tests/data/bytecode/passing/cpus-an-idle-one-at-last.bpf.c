// SPDX-License-Identifier: GPL-2.0
/*
 * Whoever wakes is looked an idle CPU for when it comes to enqueue, wherever it was put.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { QUEUES = 0x1000 };

s32 SCHEDCP_OPS(v_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return bpf_cpumask_any_distribute(p->cpus_ptr);
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu < 0) {
		scx_bpf_dsq_insert(p, QUEUES + scx_bpf_task_cpu(p), SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 cpus = scx_bpf_nr_cpu_ids(), i;

	if (scx_bpf_dsq_move_to_local(QUEUES + cpu))
		return;
	bpf_for (i, 0, cpus)
		if (scx_bpf_dsq_move_to_local(QUEUES + i))
			return;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	u32 cpus = scx_bpf_nr_cpu_ids(), i;
	s32 err;

	bpf_for (i, 0, cpus) {
		err = scx_bpf_create_dsq(QUEUES + i, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.select_cpu = (void *)v_select_cpu,
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
