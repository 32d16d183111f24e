/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Operations for schedulers that know of a task nothing but its cgroup and its virtual time. Each
 * has to be in the scheduler's table.
 */
#ifndef SCHEDCP_GROUP_TASK_OPS_BPF_H
#define SCHEDCP_GROUP_TASK_OPS_BPF_H

#include "schedcp/group_limits.bpf.h"

void SCHEDCP_OPS(group_task_runnable, struct task_struct *p, u64 enq_flags)
{
	struct group_member *member = group_member_of(p);

	if (member)
		group_join(p, member);
}

void SCHEDCP_OPS(group_task_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct group_member *member = group_member_of(p);

	if (member)
		group_leave(member);
}

s32 SCHEDCP_OPS_SLEEPABLE(group_task_init, struct task_struct *p, struct scx_init_task_args *args)
{
	s32 err = group_member_create(p);

	return err ?: wait_ctx_create(p);
}

#endif
