// SPDX-License-Identifier: GPL-2.0
/*
 * message_passing: who is woken runs at once, where its waker's data is.
 *
 * A partner is a task with bursts within `burst_limit_ns` that sleeps for `sleep_percent` of the
 * time. One that is woken by another that is about to sleep (a sync wakeup) runs on that one's CPU,
 * if nobody waits there; else on an idle CPU of the same cache, or further away; else it takes the
 * CPU of a task that is no partner and has run for `least_run_ns`; else it waits where any CPU may
 * take it, by arrival and burst, the latter `budget_ns` at most. On each CPU partners go ahead up
 * to `message_percent` of the time. All others share CPU time by weight; the running one goes on
 * while it comes first. Whoever has waited for `ageing_ns` goes first; only kernel threads of one
 * CPU are ahead of that.
 *
 * Good for: requests and workers, pipelines, and servers of many threads beside batch work.
 * Bad for: brief work that nobody waits for, which goes first as well; partners that should run at
 * the same time on a full machine; large machines (one queue); cgroup weights and cpu.max (not
 * enforced).
 */

/* Of two that wait for each other each sleeps for half of the time, or less. */
#define SLEEP_PERCENT 25

#include "schedcp/topology_global.bpf.h"
#include "schedcp/orders.bpf.h"
#include "schedcp/placement.bpf.h"
#include "schedcp/going_on.bpf.h"

SCHEDCP_LICENSE;

/* How long a task that is no partner may run before the next one is looked at; at ticks. */
const volatile u64 slice_ns = 8 * NSEC_PER_MSEC;
/* The longest that a partner sorts behind its arrival. */
const volatile u64 budget_ns = 20 * NSEC_PER_MSEC;
/* The share of a CPU up to which partners go ahead of others there. */
const volatile u32 message_percent = 80;
/* How long others may run before a partner takes their CPU. */
const volatile u64 least_run_ns = 0;
/* How much virtual time a sleeper that is no partner may bank. */
const volatile u64 credit_ns = 8 * NSEC_PER_MSEC;

/* The virtual time of the task that ran furthest of those that are no partners. */
u64 clock_of_others;

/* In the order in which they go first. */
enum task_class {
	CLASS_PARTNER,
	CLASS_OTHER,
};

static u32 class_of(const struct task_ctx *tctx)
{
	if (behaviour_is_brief(&tctx->behaviour, burst_limit_ns) &&
	    behaviour_sleeps(&tctx->behaviour))
		return CLASS_PARTNER;
	return CLASS_OTHER;
}

/*
 * The waker's CPU, where it says that it is about to sleep and its bursts do not belie it; negative
 * where it does not, or where somebody else waits. A pair that has the CPU to itself for more than
 * its share would keep everybody else from it: the kernel asks for nobody while it finds them.
 */
static s32 beside_waker(struct task_struct *p, u64 wake_flags)
{
	struct task_ctx *waker = task_ctx_of(bpf_get_current_task_btf());
	s32 cpu = bpf_get_smp_processor_id();
	struct cpu_ctx *cctx = cpu_ctx_of(cpu);

	if (!(wake_flags & SCX_WAKE_SYNC) || !bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
		return -1;
	if (!waker || !cctx || class_of(waker) != CLASS_PARTNER ||
	    over_cap(cctx, CLASS_PARTNER, message_percent))
		return -1;
	if (scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | cpu) ||
	    scx_bpf_dsq_nr_queued(first_dsq(cpu)) || scx_bpf_dsq_nr_queued(pinned_dsq(cpu)))
		return -1;
	return cpu;
}

s32 SCHEDCP_OPS(message_passing_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);
	bool partner = tctx && class_of(tctx) == CLASS_PARTNER, is_idle = false;
	s32 cpu = partner ? beside_waker(p, wake_flags) : -1;

	if (cpu >= 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, burst_limit_ns, 0);
		STAT_INC(latency_dispatches);
		return cpu;
	}
	cpu = idle_sibling(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle) {
		idle_insert(p, slice_ns);
		return cpu;
	}
	if (!partner)
		return cpu;
	cpu = victim_claim(p, prev_cpu, CLASS_PARTNER, least_run_ns, message_percent);
	if (cpu < 0)
		return prev_cpu;
	preempt_insert(p, burst_limit_ns);
	return cpu;
}

void SCHEDCP_OPS(message_passing_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	s32 cpu = scx_bpf_task_cpu(p);
	bool partner;

	if (!wait || !tctx) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	partner = class_of(tctx) == CLASS_PARTNER;
	if (partner && woken_here(p, enq_flags) &&
	    cpu_claim(cpu, CLASS_PARTNER, least_run_ns, message_percent)) {
		preempt_insert(p, burst_limit_ns);
		return;
	}
	if (bound_insert(p, wait, tctx, partner ? burst_limit_ns : slice_ns, enq_flags))
		return;
	if (partner)
		class_insert(p, wait, CLASS_PARTNER, burst_limit_ns,
			     deadline_order(p, tctx, budget_ns), enq_flags);
	else
		class_insert(p, wait, CLASS_OTHER, slice_ns,
			     vtime_order(wait, tctx, CLASS_OTHER, clock_of_others, credit_ns),
			     enq_flags);
}

static void serve(s32 cpu, struct task_struct *prev)
{
	struct cpu_ctx *cctx = cpu_ctx_of(cpu);
	bool partners_lead = cctx && !over_cap(cctx, CLASS_PARTNER, message_percent);

	if (bound_turn(cctx) && scx_bpf_dsq_move_to_local(pinned_dsq(cpu)))
		return;
	if (partners_lead && class_move_to_local(CLASS_PARTNER, cpu))
		return;
	if (goes_on(prev, CLASS_OTHER, slice_ns) || class_move_to_local(CLASS_OTHER, cpu))
		return;
	if (!partners_lead && class_move_to_local(CLASS_PARTNER, cpu))
		return;
	scx_bpf_dsq_move_to_local(pinned_dsq(cpu));
}

void SCHEDCP_OPS(message_passing_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();

	if (scan_due(now)) {
		class_age(CLASS_PARTNER, cpu, now, 0);
		class_age(CLASS_OTHER, cpu, now, SCX_DSQ_ITER_REV);
		dsq_age(pinned_dsq(cpu), first_dsq(cpu), now);
	}
	if (!first_move_to_local(cpu))
		serve(cpu, prev);
}

void SCHEDCP_OPS(message_passing_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (tctx)
		behaviour_wake(&tctx->behaviour);
}

void SCHEDCP_OPS(message_passing_running, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));

	if (!wait || !tctx || !cctx)
		return;
	class_running(p, wait, tctx, cctx, class_of(tctx));
	bound_running(p, wait, tctx, cctx);
	clock_advance(&clock_of_others, wait, tctx, CLASS_OTHER);
}

void SCHEDCP_OPS(message_passing_stopping, struct task_struct *p, bool runnable)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));

	if (wait && tctx && cctx)
		class_stopping(p, wait, tctx, cctx);
}

void SCHEDCP_OPS(message_passing_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (tctx)
		behaviour_sleep(&tctx->behaviour, deq_flags);
}

s32 SCHEDCP_OPS_SLEEPABLE(message_passing_init_task, struct task_struct *p,
			  struct scx_init_task_args *args)
{
	return class_ctx_create(p);
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(message_passing_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(message_passing_init)
{
	s32 err = other_dsqs_create();

	err = err ?: class_dsqs_create(CLASS_PARTNER);
	return err ?: class_dsqs_create(CLASS_OTHER);
}

void SCHEDCP_OPS(message_passing_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops message_passing_ops = {
	.select_cpu = (void *)message_passing_select_cpu,
	.enqueue = (void *)message_passing_enqueue,
	.dispatch = (void *)message_passing_dispatch,
	.runnable = (void *)message_passing_runnable,
	.running = (void *)message_passing_running,
	.stopping = (void *)message_passing_stopping,
	.quiescent = (void *)message_passing_quiescent,
	.init_task = (void *)message_passing_init_task,
	.cpu_release = (void *)message_passing_cpu_release,
	.init = (void *)message_passing_init,
	.exit = (void *)message_passing_exit,
	.timeout_ms = 10000,
	.name = "schedcp_message_passing",
};
