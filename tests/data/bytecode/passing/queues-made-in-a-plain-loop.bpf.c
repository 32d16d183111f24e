// SPDX-License-Identifier: GPL-2.0
/*
 * A plain loop makes the queues of CPUs, and numbers of CPUs are cut off at the loop's bound.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { CPUS_MOST = 1024, OWN = 0x4000, ANYBODY = 0x9 };

static u32 nr_cpus;
static u32 turn;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 own = OWN + (scx_bpf_task_cpu(p) & (CPUS_MOST - 1));

	scx_bpf_dsq_insert(p, p->nr_cpus_allowed == 1 ? own : ANYBODY, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 own = OWN + (cpu & (CPUS_MOST - 1));

	if (!nr_cpus)
		return;
	if ((turn++ & 1) && scx_bpf_dsq_move_to_local(own))
		return;
	if (!scx_bpf_dsq_move_to_local(ANYBODY))
		scx_bpf_dsq_move_to_local(own);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	s32 err = scx_bpf_create_dsq(ANYBODY, -1);
	u32 cpu;

	nr_cpus = scx_bpf_nr_cpu_ids();
	for (cpu = 0; cpu < CPUS_MOST; cpu++) {
		if (cpu >= nr_cpus || err)
			break;
		err = scx_bpf_create_dsq(OWN + cpu, -1);
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
