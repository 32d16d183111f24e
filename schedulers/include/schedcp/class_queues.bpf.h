/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Queues of classes, whatever the topology: their ids, those of tasks that only one CPU may run,
 * and when it is time to look for tasks that have waited too long.
 */
#ifndef SCHEDCP_CLASS_QUEUES_BPF_H
#define SCHEDCP_CLASS_QUEUES_BPF_H

#include "schedcp/clocks.bpf.h"

enum class_dsq_consts {
	CLASS_DSQ_BASE = 0x1000000,
	CLASS_DSQ_STRIDE = 0x100000, /* more than there are CPUs */
	BOUND_CLASS = CLASSES_MAX, /* by whose clock tasks of one CPU count, whatever their class */
};

#define BOUND_CREDIT_NS (8 * (u64)NSEC_PER_MSEC)

/* The queue of a class at `home`: a CPU, the first CPU of a cache, or 0 for all. */
static __always_inline u64 class_dsq(u32 class, s32 home)
{
	return CLASS_DSQ_BASE + class * (u64)CLASS_DSQ_STRIDE + (u64)home;
}

/*
 * Queue a task that only one CPU may run, by virtual time; kernel threads go before everybody.
 * False when the task may run elsewhere as well.
 */
static __always_inline bool bound_insert(struct task_struct *p, struct wait_ctx *wait,
					 struct task_ctx *tctx, u64 slice_ns, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);
	struct cpu_ctx *cctx = cpu_ctx_of(cpu);
	u64 clock = cctx ? cctx->clock : 0;

	if (!is_pinned(p))
		return false;
	pinned_insert(p, wait, cpu, slice_ns,
		      vtime_order(wait, tctx, BOUND_CLASS, clock, BOUND_CREDIT_NS), enq_flags);
	return true;
}

/* Call it from ops.running. */
static __always_inline void bound_running(const struct task_struct *p, const struct wait_ctx *wait,
					  const struct task_ctx *tctx, struct cpu_ctx *cctx)
{
	if (is_pinned(p))
		clock_advance(&cctx->clock, wait, tctx, BOUND_CLASS);
}

/* Every other time the tasks that may run here only go before all classes. */
static __always_inline bool bound_turn(struct cpu_ctx *cctx)
{
	if (!cctx)
		return false;
	cctx->bound_last = !cctx->bound_last;
	return cctx->bound_last;
}

/* Say whether it is time to look for those who have waited too long. */
static __always_inline bool scan_due(u64 now)
{
	u32 zero = 0;
	struct ageing_ctx *ageing = bpf_map_lookup_elem(&ageing_ctxs, &zero);

	if (!ageing || now < ageing->scan_at)
		return false;
	ageing->scan_at = now + ageing_ns / AGEING_SCANS;
	return true;
}

/* Create the queues that there are beside those of classes. Call it from ops.init. */
static __always_inline s32 other_dsqs_create(void)
{
	return scx_bpf_create_dsq(AGED_DSQ, -1) ?: pinned_dsqs_create();
}

#endif
