// SPDX-License-Identifier: GPL-2.0
/*
 * parallel_build: keep a graph of processes fed, and do not leave its longest path for the end.
 *
 * What is known of such graphs: a schedule that leaves no CPU idle beside ready work takes at most
 * the work divided by the CPUs and the longest path together, so that two things cost time. One is
 * CPUs without ready work: make, ninja, shells and compiler drivers run for a moment, start what
 * comes next and wait for it; each moment that they wait for a CPU delays all that comes behind
 * them, and they need next to none of it. The other is a long path that is started or continued
 * late: links and large compilations stand at the end of much, and what has run for long is likely
 * to run long yet. Among many half-done jobs none ends, and only an end makes others ready.
 *
 * So there are two classes. Who feeds goes first, in order of arrival and burst, and preempts: a
 * process in its first `head_start_ns`; one with bursts within `burst_limit_ns` that sleeps for
 * `sleep_percent` of the time; and one that has spawned others, with bursts within
 * `spawner_burst_ns`. On each CPU they go first up to `feed_percent` of the time. All others are
 * jobs: who has attained the most CPU time goes first, by weight, and goes on until it ends or
 * sleeps for `job_gap_ns`. Whoever has waited for `ageing_ns` goes before all of these; only kernel
 * threads of one CPU are ahead of that.
 *
 * Good for: parallel builds with more jobs than CPUs, and other graphs of processes.
 * Bad for: latency of services beside a build; fairness between the jobs of a build, or between two
 * builds; builds that never have more jobs than CPUs (nothing is to be gained there); cgroup
 * weights and cpu.max (not enforced).
 */
#include "schedcp/topology_global.bpf.h"
#include "schedcp/orders.bpf.h"
#include "schedcp/placement.bpf.h"
#include "schedcp/slices.bpf.h"

SCHEDCP_LICENSE;

/* How long a job may run before the order is looked at again; enforced at ticks. */
const volatile u64 slice_ns = 20 * NSEC_PER_MSEC;
/* The first CPU time of a process counts as feeding: it may be about to spawn. */
const volatile u64 head_start_ns = 5 * NSEC_PER_MSEC;
/* The longest burst of a process that spawned others and counts as feeding. */
const volatile u64 spawner_burst_ns = 20 * NSEC_PER_MSEC;
/* The share of a CPU up to which who feeds goes ahead of jobs. */
const volatile u32 feed_percent = 50;
/* A task that slept this long starts a new job. */
const volatile u64 job_gap_ns = 1 * NSEC_PER_SEC;

/* In the order in which they go first. */
enum task_class {
	CLASS_FEED,
	CLASS_JOB,
};

/* What is known of a task beside its class. */
struct growth {
	u64 lived_ns; /* CPU time since it was made, whatever it slept */
	u64 spawned;  /* how many it made */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct growth);
} growths SEC(".maps");

static __always_inline struct growth *growth_of(struct task_struct *p)
{
	return bpf_task_storage_get(&growths, p, 0, 0);
}

static u32 class_of(struct task_struct *p, const struct task_ctx *tctx)
{
	const struct growth *growth = growth_of(p);

	if (growth && growth->lived_ns < head_start_ns)
		return CLASS_FEED;
	if (growth && growth->spawned && tctx->behaviour.burst_ns <= spawner_burst_ns &&
	    behaviour_sleeps(&tctx->behaviour))
		return CLASS_FEED;
	if (behaviour_is_brief(&tctx->behaviour, burst_limit_ns) &&
	    behaviour_sleeps(&tctx->behaviour))
		return CLASS_FEED;
	return CLASS_JOB;
}

s32 SCHEDCP_OPS(parallel_build_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);
	bool is_idle = false;
	s32 cpu = idle_sibling(p, prev_cpu, wake_flags, &is_idle), victim;

	if (is_idle) {
		idle_insert(p, slice_ns);
		return cpu;
	}
	if (!tctx || class_of(p, tctx) != CLASS_FEED)
		return cpu;
	victim = victim_claim(p, prev_cpu, CLASS_FEED, 0, feed_percent);
	if (victim < 0)
		return cpu;
	preempt_insert(p, burst_limit_ns);
	return victim;
}

void SCHEDCP_OPS(parallel_build_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	bool feeds;

	if (!wait || !tctx) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	feeds = class_of(p, tctx) == CLASS_FEED;
	if (feeds && woken_here(p, enq_flags) &&
	    cpu_claim(scx_bpf_task_cpu(p), CLASS_FEED, 0, feed_percent)) {
		preempt_insert(p, burst_limit_ns);
		return;
	}
	if (bound_insert(p, wait, tctx, feeds ? burst_limit_ns : slice_ns, enq_flags))
		return;
	if (feeds)
		class_insert(p, wait, CLASS_FEED, burst_limit_ns,
			     deadline_order(p, tctx, spawner_burst_ns), enq_flags);
	else
		class_insert(p, wait, CLASS_JOB, slice_ns, longest_order(p, tctx->attained_ns),
			     enq_flags);
}

/* The running job keeps its CPU while nobody who waits has attained more. */
static bool goes_on(struct task_struct *prev)
{
	struct wait_ctx *wait;
	struct task_ctx *tctx;
	u64 head = 0;

	if (!wants_on(prev) || is_pinned(prev))
		return false;
	wait = wait_ctx_of(prev);
	tctx = task_ctx_of(prev);
	if (!wait || !tctx || tctx->class != CLASS_JOB ||
	    !dsq_head_order(class_dsq(CLASS_JOB, 0), &head) ||
	    vtime_before(head, longest_order(prev, tctx->attained_ns + used_since(wait))))
		return false;
	slice_renew(prev, slice_ns);
	return true;
}

static void serve(s32 cpu, struct task_struct *prev)
{
	struct cpu_ctx *cctx = cpu_ctx_of(cpu);
	bool feed_leads = cctx && !over_cap(cctx, CLASS_FEED, feed_percent);

	if (bound_turn(cctx) && scx_bpf_dsq_move_to_local(pinned_dsq(cpu)))
		return;
	if (feed_leads && class_move_to_local(CLASS_FEED, cpu))
		return;
	if (goes_on(prev) || class_move_to_local(CLASS_JOB, cpu))
		return;
	if (!feed_leads && class_move_to_local(CLASS_FEED, cpu))
		return;
	scx_bpf_dsq_move_to_local(pinned_dsq(cpu));
}

void SCHEDCP_OPS(parallel_build_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();

	if (scan_due(now)) {
		class_age(CLASS_FEED, cpu, now, 0);
		class_age(CLASS_JOB, cpu, now, SCX_DSQ_ITER_REV);
		dsq_age(pinned_dsq(cpu), first_dsq(cpu), now);
	}
	if (!first_move_to_local(cpu))
		serve(cpu, prev);
}

void SCHEDCP_OPS(parallel_build_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (!tctx)
		return;
	job_wake(tctx, job_gap_ns);
	behaviour_wake(&tctx->behaviour);
}

void SCHEDCP_OPS(parallel_build_running, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));

	if (!wait || !tctx || !cctx)
		return;
	class_running(p, wait, tctx, cctx, class_of(p, tctx));
	bound_running(p, wait, tctx, cctx);
}

void SCHEDCP_OPS(parallel_build_stopping, struct task_struct *p, bool runnable)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct growth *growth = growth_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));

	if (wait && tctx && growth && cctx)
		growth->lived_ns += class_stopping(p, wait, tctx, cctx);
}

void SCHEDCP_OPS(parallel_build_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (tctx)
		behaviour_sleep(&tctx->behaviour, deq_flags);
}

s32 SCHEDCP_OPS_SLEEPABLE(parallel_build_init_task, struct task_struct *p,
			  struct scx_init_task_args *args)
{
	struct growth *growth =
		bpf_task_storage_get(&growths, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct growth *parents;

	if (!growth)
		return -NO_MEMORY;
	if (args->fork) {
		parents = growth_of(bpf_get_current_task_btf());
		if (parents)
			parents->spawned++;
	} else {
		/* It was there before this scheduler: no newcomer. */
		growth->lived_ns = head_start_ns;
	}
	return class_ctx_create(p);
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(parallel_build_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(parallel_build_init)
{
	s32 err = other_dsqs_create();

	err = err ?: class_dsqs_create(CLASS_FEED);
	return err ?: class_dsqs_create(CLASS_JOB);
}

void SCHEDCP_OPS(parallel_build_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops parallel_build_ops = {
	.select_cpu = (void *)parallel_build_select_cpu,
	.enqueue = (void *)parallel_build_enqueue,
	.dispatch = (void *)parallel_build_dispatch,
	.runnable = (void *)parallel_build_runnable,
	.running = (void *)parallel_build_running,
	.stopping = (void *)parallel_build_stopping,
	.quiescent = (void *)parallel_build_quiescent,
	.init_task = (void *)parallel_build_init_task,
	.cpu_release = (void *)parallel_build_cpu_release,
	.init = (void *)parallel_build_init,
	.exit = (void *)parallel_build_exit,
	.timeout_ms = 10000,
	.name = "schedcp_parallel_build",
};
