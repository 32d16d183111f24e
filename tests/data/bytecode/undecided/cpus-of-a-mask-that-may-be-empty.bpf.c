// SPDX-License-Identifier: GPL-2.0
/*
 * A CPU out of a mask that the scheduler has filled, or has not.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct bpf_cpumask __kptr *chosen SEC(".data.chosen");

s32 SCHEDCP_OPS(v_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct bpf_cpumask *mask;
	s32 cpu = prev_cpu;

	bpf_rcu_read_lock();
	mask = chosen;
	if (mask)
		cpu = scx_bpf_pick_any_cpu((const struct cpumask *)mask, 0);
	bpf_rcu_read_unlock();
	return cpu;
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
	kick_idle_for(p, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	struct bpf_cpumask *mask = bpf_cpumask_create();

	if (!mask)
		return -NO_MEMORY;
	mask = bpf_kptr_xchg(&chosen, mask);
	if (mask)
		bpf_cpumask_release(mask);
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.select_cpu = (void *)v_select_cpu,
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
