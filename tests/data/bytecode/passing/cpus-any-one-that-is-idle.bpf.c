// SPDX-License-Identifier: GPL-2.0
/*
 * Whoever wakes goes to the next of its CPUs in turn if that one is idle, or stays.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { QUEUES = 0x1000 };

s32 SCHEDCP_OPS(v_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = bpf_cpumask_any_distribute(p->cpus_ptr);

	return scx_bpf_test_and_clear_cpu_idle(cpu) ? cpu : prev_cpu;
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUES + scx_bpf_task_cpu(p), SCX_SLICE_DFL, enq_flags);
	kick_idle_for(p, 0);
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
