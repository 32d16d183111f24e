// SPDX-License-Identifier: GPL-2.0
/*
 * A group whose number whoever loads it has given; and number one, which is the root.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

const volatile u64 chosen_group;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cgroup *group = scx_bpf_task_cgroup(p);
	u64 id = group->kn->id;

	bpf_cgroup_release(group);
	scx_bpf_dsq_insert(p, WAITING, id == chosen_group || id == 1 ? 8000000 : 4000000,
			   enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
