// SPDX-License-Identifier: GPL-2.0
/*
 * locality: tasks stay with the cache that they know.
 *
 * Each last-level cache has a queue by virtual time (CPU time divided by weight) and a clock of its
 * own, so that weights hold within it. A waking task takes its last CPU if that is idle, else an
 * idle one of the same cache, else one of the same memory node, else any; where none is idle it
 * waits at its cache, and nobody is preempted. The running task goes on while it comes before all
 * who wait there. A CPU without work takes from other caches at once, those of its memory node
 * first; one whose cache has fewer waiting takes whom another has let wait for `patience_ns`.
 * Whoever has waited for `ageing_ns` goes first anywhere; only kernel threads of one CPU are ahead.
 *
 * Good for: machines with several last-level caches or memory nodes; work that shares data.
 * Bad for: wakeup latency beside CPU hogs (nobody is preempted); fairness between tasks at
 * different caches (each divides its own time); cgroup weights and cpu.max (not enforced).
 */
#define CREDIT_NS (5 * NSEC_PER_MSEC)

#include "schedcp/topology_llc.bpf.h"
#include "schedcp/placement.bpf.h"
#include "schedcp/home_clocks.bpf.h"
#include "schedcp/stealing.bpf.h"
#include "schedcp/homes_ops.bpf.h"

SCHEDCP_LICENSE;

/* How long a task may run before the next one is looked at; enforced at ticks. */
const volatile u64 slice_ns = 5 * NSEC_PER_MSEC;
/* Whoever has waited this long at a cache may be taken by one where fewer wait. */
const volatile u64 patience_ns = 50 * NSEC_PER_MSEC;

s32 SCHEDCP_OPS(locality_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = idle_at_home(p, prev_cpu);

	if (cpu < 0)
		cpu = idle_sibling(p, prev_cpu, wake_flags, &is_idle);
	else
		is_idle = true;
	if (is_idle)
		idle_insert(p, slice_ns);
	return cpu;
}

void SCHEDCP_OPS(locality_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	u64 order;

	if (!wait || !tctx) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	if (bound_insert(p, wait, tctx, slice_ns, enq_flags))
		return;
	order = home_order(wait, tctx, home_of(scx_bpf_task_cpu(p)), credit_ns);
	home_insert(p, wait, CLASS_ALL, slice_ns, order, enq_flags);
}

void SCHEDCP_OPS(locality_dispatch, s32 cpu, struct task_struct *prev)
{
	homes_dispatch(cpu, prev, slice_ns, 0, patience_ns, same_node);
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(locality_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(locality_init)
{
	s32 err = other_dsqs_create();

	homes_find();
	return err ?: class_dsqs_create(CLASS_ALL);
}

void SCHEDCP_OPS(locality_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops locality_ops = {
	.select_cpu = (void *)locality_select_cpu,
	.enqueue = (void *)locality_enqueue,
	.dispatch = (void *)locality_dispatch,
	.running = (void *)homes_running,
	.stopping = (void *)homes_stopping,
	.init_task = (void *)homes_init_task,
	.cpu_release = (void *)locality_cpu_release,
	.init = (void *)locality_init,
	.exit = (void *)locality_exit,
	.timeout_ms = 10000,
	.name = "schedcp_locality",
};
