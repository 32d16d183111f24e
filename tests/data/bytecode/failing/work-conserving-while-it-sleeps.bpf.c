// SPDX-License-Identifier: GPL-2.0
/*
 * Sends a task to the first CPU that it may use and does not tell it.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { BASE = 0x900 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = bpf_cpumask_any_distribute(p->cpus_ptr);

	scx_bpf_dsq_insert(p, BASE + cpu, SCX_SLICE_DFL, enq_flags);
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
