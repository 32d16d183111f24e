/* SPDX-License-Identifier: GPL-2.0 */
/* Queues of classes: one for each class that serves all CPUs. */
#ifndef SCHEDCP_TOPOLOGY_GLOBAL_BPF_H
#define SCHEDCP_TOPOLOGY_GLOBAL_BPF_H

#include "schedcp/class_queues.bpf.h"

static __always_inline void homes_find(void)
{
}

static __always_inline s32 class_dsqs_create(u32 class)
{
	return scx_bpf_create_dsq(class_dsq(class, 0), -1);
}

static __always_inline void class_insert(struct task_struct *p, struct wait_ctx *wait, u32 class,
					 u64 slice_ns, u64 order, u64 enq_flags)
{
	ordered_insert(p, wait, class_dsq(class, 0), slice_ns, order, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

static __always_inline bool class_move_to_local(u32 class, s32 cpu)
{
	return scx_bpf_dsq_move_to_local(class_dsq(class, 0));
}

static __always_inline void class_age(u32 class, s32 cpu, u64 now, u64 iter_flags)
{
	dsq_age_from(class_dsq(class, 0), AGED_DSQ, now, iter_flags);
}

#endif
