/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Operations for schedulers with one class of tasks that wait at homes: a cache, or a CPU. Include
 * it after a topology. Each has to be in the scheduler's table; ops.dispatch is the scheduler's own
 * and calls homes_dispatch().
 */
#ifndef SCHEDCP_HOMES_OPS_BPF_H
#define SCHEDCP_HOMES_OPS_BPF_H

#include "schedcp/home_clocks.bpf.h"
#include "schedcp/stealing.bpf.h"

/* A scheduler may define its own default before it includes this. */
#ifndef CREDIT_NS
#define CREDIT_NS (5 * NSEC_PER_MSEC)
#endif

/* How much virtual time a sleeper may bank. */
const volatile u64 credit_ns = CREDIT_NS;

enum task_class {
	CLASS_ALL,
};

static __always_inline void homes_serve(s32 cpu, struct task_struct *prev, u64 slice_ns,
					u64 lead_ns, u64 patience_ns,
					bool (*near)(s32 cpu, s32 other))
{
	if (bound_turn(cpu_ctx_of(cpu)) && scx_bpf_dsq_move_to_local(pinned_dsq(cpu)))
		return;
	if (class_relieve(CLASS_ALL, cpu, patience_ns))
		return;
	if (goes_on_at_home(prev, CLASS_ALL, home_of(cpu), lead_ns, slice_ns))
		return;
	if (class_move_to_local(CLASS_ALL, cpu) || scx_bpf_dsq_move_to_local(pinned_dsq(cpu)))
		return;
	/* Nobody waits here: whoever ran goes on. */
	if (!wants_on(prev))
		class_steal(CLASS_ALL, cpu, near);
}

/*
 * All of ops.dispatch. The running task may get `lead_ns` ahead of the next one, whoever has waited
 * for `patience_ns` may be taken by another home, and a CPU without work takes from those first
 * that are `near`.
 */
static __always_inline void homes_dispatch(s32 cpu, struct task_struct *prev, u64 slice_ns,
					   u64 lead_ns, u64 patience_ns,
					   bool (*near)(s32 cpu, s32 other))
{
	u64 now = bpf_ktime_get_ns();

	if (scan_due(now)) {
		class_age(CLASS_ALL, cpu, now, SCX_DSQ_ITER_REV);
		dsq_age(pinned_dsq(cpu), first_dsq(cpu), now);
	}
	if (!first_move_to_local(cpu))
		homes_serve(cpu, prev, slice_ns, lead_ns, patience_ns, near);
}

void SCHEDCP_OPS(homes_running, struct task_struct *p)
{
	s32 cpu = scx_bpf_task_cpu(p);
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(cpu);

	if (!wait || !tctx || !cctx)
		return;
	class_running(p, wait, tctx, cctx, CLASS_ALL);
	if (is_pinned(p))
		bound_running(p, wait, tctx, cctx);
	else
		home_running(wait, tctx, home_of(cpu), credit_ns);
}

void SCHEDCP_OPS(homes_stopping, struct task_struct *p, bool runnable)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));

	if (wait && tctx && cctx)
		class_stopping(p, wait, tctx, cctx);
}

s32 SCHEDCP_OPS_SLEEPABLE(homes_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return class_ctx_create(p);
}

#endif
