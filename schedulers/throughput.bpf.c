// SPDX-License-Identifier: GPL-2.0
/*
 * throughput: long slices on warm caches, and few switches.
 *
 * Each CPU has a queue by virtual time (CPU time divided by weight). A waking task goes back to the
 * CPU that it ran on when that is idle, else to an idle one nearby; where none is, it waits at the
 * CPU it ran on, and nobody is preempted. The running task goes on until it is `lead_ns` of virtual
 * time ahead of the next one, or somebody has waited for `ageing_ns`. A CPU without work takes from
 * others at once, those that share its cache first; one with less to do than another takes whom
 * that one has let wait for `patience_ns`. Kernel threads of one CPU go before everybody.
 *
 * Good for: CPU-bound work that has its data in the cache: batch jobs, encoders, simulations,
 * training; many threads that are alike.
 * Bad for: latency beside such work (a waking task waits for a slice or more); nice values (weights
 * hold among the tasks of one CPU only); cgroup weights and cpu.max (not enforced).
 */
#define CREDIT_NS (20 * NSEC_PER_MSEC)

#include "schedcp/topology_cpu.bpf.h"
#include "schedcp/caches.bpf.h"
#include "schedcp/placement.bpf.h"
#include "schedcp/home_clocks.bpf.h"
#include "schedcp/stealing.bpf.h"
#include "schedcp/homes_ops.bpf.h"

SCHEDCP_LICENSE;

/* How long a task may run before the next one is looked at; enforced at ticks. */
const volatile u64 slice_ns = 20 * NSEC_PER_MSEC;
/* How far ahead of the next one a running task may get. */
const volatile u64 lead_ns = 40 * NSEC_PER_MSEC;
/* Whoever has waited this long at a CPU may be taken by one with less to do. */
const volatile u64 patience_ns = 100 * NSEC_PER_MSEC;

s32 SCHEDCP_OPS(throughput_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = idle_sibling(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		idle_insert(p, slice_ns);
	return cpu;
}

void SCHEDCP_OPS(throughput_enqueue, struct task_struct *p, u64 enq_flags)
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
	class_insert(p, wait, CLASS_ALL, slice_ns, order, enq_flags);
}

void SCHEDCP_OPS(throughput_dispatch, s32 cpu, struct task_struct *prev)
{
	homes_dispatch(cpu, prev, slice_ns, lead_ns, patience_ns, same_cache);
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(throughput_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(throughput_init)
{
	s32 err = other_dsqs_create();

	caches_find();
	return err ?: class_dsqs_create(CLASS_ALL);
}

void SCHEDCP_OPS(throughput_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops throughput_ops = {
	.select_cpu = (void *)throughput_select_cpu,
	.enqueue = (void *)throughput_enqueue,
	.dispatch = (void *)throughput_dispatch,
	.running = (void *)homes_running,
	.stopping = (void *)homes_stopping,
	.init_task = (void *)homes_init_task,
	.cpu_release = (void *)throughput_cpu_release,
	.init = (void *)throughput_init,
	.exit = (void *)throughput_exit,
	.timeout_ms = 10000,
	.name = "schedcp_throughput",
};
