// SPDX-License-Identifier: GPL-2.0
/*
 * shortest_first: the job with the least work left first, so that jobs end early on average.
 *
 * Where user space listed an expected run time for the task's cgroup (`expected_runtime`), work is
 * what is left of it. Where nothing is known, or more was attained than expected, work is what was
 * attained: who has run briefly is likely to end soon, and who has run for long is likely to run
 * long yet. The latter counts in levels that double, within which jobs run to their end in order of
 * arrival: sharing a CPU between equals ends both of them late. Work counts in proportion to
 * weight. Tasks that run briefly and sleep much count by their average burst. A sleep of
 * `job_gap_ns` ends a job. Whoever has waited for `ageing_ns` goes before all of these; only kernel
 * threads of one CPU are ahead of that.
 *
 * Good for: the mean time to completion of jobs that come one after the other or all at once;
 * queries, builds of small parts, functions.
 * Bad for: the last job to end, which is the longest one; fairness between long and short jobs;
 * cgroup weights and cpu.max (not enforced).
 */
#include "schedcp/orders.bpf.h"
#include "schedcp/expectations.bpf.h"
#include "schedcp/placement.bpf.h"
#include "schedcp/slices.bpf.h"

SCHEDCP_LICENSE;

/* How long a job may run before the order is looked at again; enforced at ticks. */
const volatile u64 slice_ns = 4 * NSEC_PER_MSEC;
/* A task that slept this long starts a new job. */
const volatile u64 job_gap_ns = 100 * NSEC_PER_MSEC;

enum task_class {
	CLASS_ALL,
};

/* The largest power of two that is not larger: who has attained 5 ms is among those of 4 to 8. */
static __always_inline u64 level_of(u64 ns)
{
	u64 bits = ns | ns >> 1;

	bits |= bits >> 2;
	bits |= bits >> 4;
	bits |= bits >> 8;
	bits |= bits >> 16;
	bits |= bits >> 32;
	return bits - (bits >> 1);
}

/* What a task that has run for `used_ns` since it was last charged has to do yet, as it seems. */
static __always_inline u64 work_of(const struct task_struct *p, const struct task_ctx *tctx,
				   u64 used_ns)
{
	u64 attained = tctx->attained_ns + used_ns, expected = expected_in(cgroup_of(p));

	if (expected > attained)
		return expected - attained;
	if (behaviour_is_brief(&tctx->behaviour, burst_limit_ns) &&
	    behaviour_sleeps(&tctx->behaviour))
		return tctx->behaviour.average_burst_ns;
	return level_of(attained);
}

s32 SCHEDCP_OPS(shortest_first_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = idle_sibling(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		idle_insert(p, slice_ns);
	return cpu;
}

void SCHEDCP_OPS(shortest_first_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	u64 order;

	if (!wait || !tctx) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	order = shortest_order(p, work_of(p, tctx, 0));
	if (is_pinned(p)) {
		pinned_insert(p, wait, scx_bpf_task_cpu(p), slice_ns, order, enq_flags);
		return;
	}
	ordered_insert(p, wait, SHARED_DSQ, slice_ns, order, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

/* The running job keeps its CPU while nobody who waits has less work. */
static bool goes_on(struct task_struct *prev, s32 cpu)
{
	struct wait_ctx *wait;
	struct task_ctx *tctx;
	u64 next = 0;

	if (!wants_on(prev))
		return false;
	wait = wait_ctx_of(prev);
	tctx = task_ctx_of(prev);
	if (!wait || !tctx || !next_order(cpu, &next) ||
	    vtime_before(next, shortest_order(prev, work_of(prev, tctx, used_since(wait)))))
		return false;
	slice_renew(prev, slice_ns);
	return true;
}

void SCHEDCP_OPS(shortest_first_dispatch, s32 cpu, struct task_struct *prev)
{
	queues_age(cpu);
	if (!first_move_to_local(cpu) && !goes_on(prev, cpu))
		ordered_move_to_local(cpu);
}

void SCHEDCP_OPS(shortest_first_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (!tctx)
		return;
	job_wake(tctx, job_gap_ns);
	behaviour_wake(&tctx->behaviour);
}

void SCHEDCP_OPS(shortest_first_running, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));

	if (wait && tctx && cctx)
		class_running(p, wait, tctx, cctx, CLASS_ALL);
}

void SCHEDCP_OPS(shortest_first_stopping, struct task_struct *p, bool runnable)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));

	if (wait && tctx && cctx)
		class_stopping(p, wait, tctx, cctx);
}

void SCHEDCP_OPS(shortest_first_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (tctx)
		behaviour_sleep(&tctx->behaviour, deq_flags);
}

s32 SCHEDCP_OPS_SLEEPABLE(shortest_first_init_task, struct task_struct *p,
			  struct scx_init_task_args *args)
{
	return class_ctx_create(p);
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(shortest_first_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(shortest_first_init)
{
	return queues_create();
}

void SCHEDCP_OPS(shortest_first_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops shortest_first_ops = {
	.select_cpu = (void *)shortest_first_select_cpu,
	.enqueue = (void *)shortest_first_enqueue,
	.dispatch = (void *)shortest_first_dispatch,
	.runnable = (void *)shortest_first_runnable,
	.running = (void *)shortest_first_running,
	.stopping = (void *)shortest_first_stopping,
	.quiescent = (void *)shortest_first_quiescent,
	.init_task = (void *)shortest_first_init_task,
	.cpu_release = (void *)shortest_first_cpu_release,
	.init = (void *)shortest_first_init,
	.exit = (void *)shortest_first_exit,
	.timeout_ms = 10000,
	.name = "schedcp_shortest_first",
};
