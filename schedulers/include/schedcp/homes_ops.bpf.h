/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Operations for schedulers with one class of tasks that wait at homes: a cache, or a CPU. Include
 * it after a topology. Each has to be in the scheduler's table.
 */
#ifndef SCHEDCP_HOMES_OPS_BPF_H
#define SCHEDCP_HOMES_OPS_BPF_H

#include "schedcp/home_clocks.bpf.h"

/* A scheduler may define its own default before it includes this. */
#ifndef CREDIT_NS
#define CREDIT_NS (5 * NSEC_PER_MSEC)
#endif

/* How much virtual time a sleeper may bank. */
const volatile u64 credit_ns = CREDIT_NS;

enum task_class {
	CLASS_ALL,
};

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
