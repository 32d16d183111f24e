/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Queues of classes: one for each class and home, which home_of() names for a CPU. Whoever finds
 * nothing at home has to take from the others, so that no CPU idles beside waiting tasks; and each
 * CPU looks for tasks that have waited too long at one home after the other, because a real-time
 * task may hold the CPUs of one.
 */
#ifndef SCHEDCP_TOPOLOGY_HOMES_BPF_H
#define SCHEDCP_TOPOLOGY_HOMES_BPF_H

#include "schedcp/class_queues.bpf.h"

static __always_inline s32 class_dsqs_create(u32 class)
{
	s32 home, err;

	bpf_for (home, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(class_dsq(class, home), -1);
		if (err)
			return err;
	}
	return 0;
}

static __always_inline void class_insert(struct task_struct *p, struct wait_ctx *wait, u32 class,
					 u64 slice_ns, u64 order, u64 enq_flags)
{
	s32 home = home_of(scx_bpf_task_cpu(p));

	ordered_insert(p, wait, class_dsq(class, home), slice_ns, order, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

static __always_inline bool class_move_to_local(u32 class, s32 cpu)
{
	return scx_bpf_dsq_move_to_local(class_dsq(class, home_of(cpu)));
}

/* Whose shared queues a CPU looks after at present: another home in each period. */
static __always_inline s32 home_to_scan(s32 cpu, u64 now)
{
	u64 period = ageing_ns / AGEING_SCANS;

	return (cpu + now / (period ?: 1)) % (scx_bpf_nr_cpu_ids() ?: 1);
}

static __always_inline void class_age(u32 class, s32 cpu, u64 now, u64 iter_flags)
{
	dsq_age_from(class_dsq(class, home_to_scan(cpu, now)), AGED_DSQ, now, iter_flags);
}

#endif
