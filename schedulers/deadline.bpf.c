// SPDX-License-Identifier: GPL-2.0
/*
 * deadline: earliest deadline first, where a deadline is what the task's own bursts ask for.
 *
 * A task's deadline is the moment of its wakeup and one burst of it: the average burst, or the
 * present one once that is longer, divided by weight, and never more than `horizon_ns`. Moments are
 * on the clock of virtual time (CPU time divided by weight), so that whoever takes more than its
 * share falls behind by its own use, and a sleeper has `credit_ns` of it at most. With `preempts` a
 * waking task takes the CPU of one whose deadline is later by `margin_ns`; else it waits for the
 * end of a slice. The running task goes on while its deadline is the earliest. Whoever has waited
 * for `ageing_ns` goes before all deadlines; only kernel threads of one CPU are ahead of that.
 *
 * Good for: mixes of many burst lengths, where classes are hard to tell apart; audio, frames,
 * control loops, and servers beside batch work.
 * Bad for: throughput of long work beside very many short bursts, which is preempted often; large
 * machines (one queue); cgroup weights and cpu.max (not enforced: weights are those of tasks).
 */

/* Bursts of twice this length and more are not told apart. */
#define BURST_LIMIT_NS (10 * (u64)NSEC_PER_MSEC)

#include "schedcp/clocks.bpf.h"
#include "schedcp/placement.bpf.h"
#include "schedcp/slices.bpf.h"

SCHEDCP_LICENSE;

/* How long a task may run before deadlines are looked at again; enforced at ticks. */
const volatile u64 slice_ns = 4 * NSEC_PER_MSEC;
/* No deadline is further away than this. */
const volatile u64 horizon_ns = 20 * NSEC_PER_MSEC;
/* How much virtual time a sleeper may bank. */
const volatile u64 credit_ns = 8 * NSEC_PER_MSEC;
/* Whether a waking task may take the CPU of one with a later deadline. */
const volatile bool preempts = true;
/* By how much earlier its deadline has to be. */
const volatile u64 margin_ns = 2 * NSEC_PER_MSEC;

enum task_class {
	CLASS_ALL,
};

struct promise {
	u64 deadline; /* of who runs, or was promised the CPU; 0: nobody to preempt */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct promise);
} promises SEC(".maps");

static __always_inline struct promise *promise_of(s32 cpu)
{
	u32 zero = 0;

	return bpf_map_lookup_percpu_elem(&promises, &zero, cpu);
}

/* The deadline of a task that has run for `used_ns` since its virtual time was last charged. */
static __always_inline u64 deadline_of(const struct task_struct *p, struct wait_ctx *wait,
				       struct task_ctx *tctx, u64 used_ns)
{
	u64 vtime = vtime_order(wait, tctx, CLASS_ALL, vtime_now, credit_ns);
	u64 burst = tctx->behaviour.burst_ns + used_ns, ahead;

	if (burst < tctx->behaviour.average_burst_ns)
		burst = tctx->behaviour.average_burst_ns;
	ahead = by_weight(p, burst);
	return vtime + by_weight(p, used_ns) + (ahead < horizon_ns ? ahead : horizon_ns);
}

/* Promise the CPU to a task if whoever runs there is due later: two wakers never share a victim. */
static __always_inline bool deadline_claim(s32 cpu, u64 deadline)
{
	struct promise *promise = promise_of(cpu);
	u64 running = promise ? promise->deadline : 0;

	return running && vtime_before(deadline + margin_ns, running) &&
	       __sync_bool_compare_and_swap(&promise->deadline, running, deadline);
}

/* A CPU to preempt, the nearest by number; negative when there is none. */
static __always_inline s32 later_claim(const struct task_struct *p, s32 prev_cpu, u64 deadline)
{
	s32 cpus = scx_bpf_nr_cpu_ids(), step;

	bpf_for (step, 0, cpus) {
		s32 cpu = (prev_cpu + step) % (cpus ?: 1);

		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr) && deadline_claim(cpu, deadline))
			return cpu;
	}
	return -1;
}

s32 SCHEDCP_OPS(deadline_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	bool is_idle = false;
	s32 cpu = idle_sibling(p, prev_cpu, wake_flags, &is_idle), victim;

	if (is_idle) {
		idle_insert(p, slice_ns);
		return cpu;
	}
	if (!preempts || !wait || !tctx)
		return cpu;
	victim = later_claim(p, prev_cpu, deadline_of(p, wait, tctx, 0));
	if (victim < 0)
		return cpu;
	preempt_insert(p, slice_ns);
	return victim;
}

void SCHEDCP_OPS(deadline_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	u64 deadline;

	if (!wait || !tctx) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	deadline = deadline_of(p, wait, tctx, 0);
	if (is_pinned(p)) {
		s32 cpu = scx_bpf_task_cpu(p);

		if (preempts && woken_here(p, enq_flags) && deadline_claim(cpu, deadline))
			preempt_insert(p, slice_ns);
		else
			pinned_insert(p, wait, cpu, slice_ns, deadline, enq_flags);
		return;
	}
	ordered_insert(p, wait, SHARED_DSQ, slice_ns, deadline, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

/* The running task keeps its CPU while nobody who waits is due earlier. */
static bool goes_on(struct task_struct *prev, s32 cpu)
{
	struct promise *promise = promise_of(cpu);
	struct wait_ctx *wait;
	struct task_ctx *tctx;
	u64 next = 0, deadline;

	if (!promise || !wants_on(prev))
		return false;
	wait = wait_ctx_of(prev);
	tctx = task_ctx_of(prev);
	if (!wait || !tctx || !next_order(cpu, &next))
		return false;
	deadline = deadline_of(prev, wait, tctx, used_since(wait));
	if (!vtime_before(deadline, next))
		return false;
	slice_renew(prev, slice_ns);
	return true;
}

void SCHEDCP_OPS(deadline_dispatch, s32 cpu, struct task_struct *prev)
{
	queues_age(cpu);
	if (!first_move_to_local(cpu) && !goes_on(prev, cpu))
		ordered_move_to_local(cpu);
}

void SCHEDCP_OPS(deadline_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (tctx)
		behaviour_wake(&tctx->behaviour);
}

void SCHEDCP_OPS(deadline_running, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct promise *promise = promise_of(scx_bpf_task_cpu(p));

	if (!wait || !tctx || !promise)
		return;
	/* A kernel thread is no victim. */
	promise->deadline = is_kthread(p) ? 0 : deadline_of(p, wait, tctx, 0);
	wait_running(wait);
}

void SCHEDCP_OPS(deadline_stopping, struct task_struct *p, bool runnable)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct promise *promise = promise_of(scx_bpf_task_cpu(p));

	if (!wait || !tctx || !promise)
		return;
	behaviour_ran(&tctx->behaviour, wait_stopping(wait, p));
	promise->deadline = 0;
}

void SCHEDCP_OPS(deadline_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (tctx)
		behaviour_sleep(&tctx->behaviour, deq_flags);
}

s32 SCHEDCP_OPS_SLEEPABLE(deadline_init_task, struct task_struct *p,
			  struct scx_init_task_args *args)
{
	return class_ctx_create(p);
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(deadline_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(deadline_init)
{
	return queues_create();
}

void SCHEDCP_OPS(deadline_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops deadline_ops = {
	.select_cpu = (void *)deadline_select_cpu,
	.enqueue = (void *)deadline_enqueue,
	.dispatch = (void *)deadline_dispatch,
	.runnable = (void *)deadline_runnable,
	.running = (void *)deadline_running,
	.stopping = (void *)deadline_stopping,
	.quiescent = (void *)deadline_quiescent,
	.init_task = (void *)deadline_init_task,
	.cpu_release = (void *)deadline_cpu_release,
	.init = (void *)deadline_init,
	.exit = (void *)deadline_exit,
	.timeout_ms = 10000,
	.name = "schedcp_deadline",
};
