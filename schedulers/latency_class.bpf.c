// SPDX-License-Identifier: GPL-2.0
/*
 * latency_class: whoever runs briefly and sleeps much goes first.
 *
 * Two classes, by measured behaviour: latency (average and present burst within `burst_limit_ns`,
 * asleep for `sleep_percent` of the time) and throughput (the rest, and every new task until it
 * has proven itself). A waking latency task takes an idle CPU; else the CPU of a throughput task,
 * which is preempted; else it waits by deadline in a queue that goes before throughput's.
 * Throughput tasks share CPU time by weight, and those who have waited for `ageing_ns` go first.
 * On each CPU, latency work may preempt only while it uses less than `latency_percent` of the time.
 * User space may list cgroups in `target_cgroups`: their tasks may run `target_burst_ns` at a time
 * and need not sleep. Kernel threads of one CPU wait for nobody but each other.
 *
 * Good for: services that answer requests beside batch work on the same node.
 * Bad for: throughput of work with many short sleeps that nobody waits for; nodes where nearly all
 * work is brief (then it is a deadline queue); cgroup weights and cpu.max (not enforced).
 */
#include "schedcp/queues.bpf.h"
#include "schedcp/behaviour.bpf.h"
#include "schedcp/cpus.bpf.h"
#include "schedcp/placement.bpf.h"
#include "schedcp/targets.bpf.h"

SCHEDCP_LICENSE;

/* How long a throughput task may run before the next one gets its CPU; enforced at ticks. */
const volatile u64 slice_ns = 8 * NSEC_PER_MSEC;
/* The longest burst of a task in a listed cgroup. */
const volatile u64 target_burst_ns = 20 * NSEC_PER_MSEC;
/* The share of a CPU up to which latency work may preempt. */
const volatile u32 latency_percent = 80;

/* In the order in which they go first. */
enum task_class {
	CLASS_LATENCY,
	CLASS_THROUGHPUT,
};

struct task_ctx {
	struct behaviour behaviour;
	bool charged; /* it was a latency task when it got the CPU */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

static __always_inline struct task_ctx *task_ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&task_ctxs, p, 0, 0);
}

static __always_inline bool is_latency(struct task_struct *p, const struct task_ctx *tctx)
{
	if (behaviour_is_brief(&tctx->behaviour, burst_limit_ns) &&
	    behaviour_sleeps(&tctx->behaviour))
		return true;
	return tctx->behaviour.burst_ns <= target_burst_ns && is_target(cgroup_of(p));
}

static __always_inline bool over_budget(struct cpu_ctx *cctx)
{
	return over_cap(cctx, CLASS_LATENCY, latency_percent);
}

static __always_inline bool latency_claim(s32 cpu)
{
	return cpu_claim(cpu, CLASS_LATENCY, 0, latency_percent);
}

/* A CPU to preempt, the task's last one if possible; negative when there is none. */
static __always_inline s32 latency_victim(const struct task_struct *p, s32 prev_cpu)
{
	s32 cpu;

	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) && latency_claim(prev_cpu))
		return prev_cpu;
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		if (cpu != prev_cpu && bpf_cpumask_test_cpu(cpu, p->cpus_ptr) && latency_claim(cpu))
			return cpu;
	}
	return -1;
}

s32 SCHEDCP_OPS(latency_class_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle), victim;

	if (is_idle) {
		idle_insert(p, slice_ns);
		return cpu;
	}
	if (!tctx || !is_latency(p, tctx))
		return cpu;
	victim = latency_victim(p, prev_cpu);
	if (victim < 0)
		return cpu;
	preempt_insert(p, burst_limit_ns);
	return victim;
}

/* Tasks of one CPU are never offered to select_cpu, so that they may have to preempt here. */
static __always_inline void enqueue_pinned(struct task_struct *p, struct wait_ctx *wait,
					   bool latency, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (latency && (enq_flags & SCX_ENQ_WAKEUP) && latency_claim(cpu))
		preempt_insert(p, burst_limit_ns);
	else
		pinned_insert(p, wait, cpu, slice_ns, wait->vtime, enq_flags);
}

/*
 * Nobody was to be preempted at its wakeup, or a real-time task took the CPU that it was given. A
 * kicked CPU takes it from the queue: direct dispatch to another CPU's local queue is deferred by
 * the kernel when it comes from ops.cpu_release, and was seen to be a whole slice late on 6.18.
 */
static __always_inline void enqueue_latency(struct task_struct *p, struct wait_ctx *wait,
					    const struct task_ctx *tctx, u64 enq_flags)
{
	/* Real time, so that nobody can starve: a short burst brings it forward. */
	u64 deadline = bpf_ktime_get_ns() +
		       tctx->behaviour.average_burst_ns * WEIGHT_DEFAULT / (p->scx.weight ?: 1);
	s32 victim;

	ordered_insert(p, wait, LATENCY_DSQ, burst_limit_ns, deadline, enq_flags);
	STAT_INC(latency_dispatches);
	victim = latency_victim(p, scx_bpf_task_cpu(p));
	if (victim < 0) {
		kick_idle_for(p, enq_flags);
		return;
	}
	scx_bpf_kick_cpu(victim, SCX_KICK_PREEMPT);
	STAT_INC(preemptions);
}

void SCHEDCP_OPS(latency_class_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	bool latency;

	if (!wait || !tctx) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	vtime_clamp(wait, slice_ns);
	latency = is_latency(p, tctx);
	if (is_pinned(p)) {
		enqueue_pinned(p, wait, latency, enq_flags);
		return;
	}
	if (latency) {
		enqueue_latency(p, wait, tctx, enq_flags);
		return;
	}
	ordered_insert(p, wait, SHARED_DSQ, slice_ns, wait->vtime, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

void SCHEDCP_OPS(latency_class_dispatch, s32 cpu, struct task_struct *prev)
{
	struct cpu_ctx *cctx = cpu_ctx_of(cpu);

	queues_age(cpu);
	if (scx_bpf_dsq_move_to_local(first_dsq(cpu)))
		return;
	if (cctx && over_budget(cctx)) {
		if (!scx_bpf_dsq_move_to_local(AGED_DSQ) && !ordered_move_to_local(cpu))
			scx_bpf_dsq_move_to_local(LATENCY_DSQ);
		return;
	}
	if (!scx_bpf_dsq_move_to_local(LATENCY_DSQ) && !scx_bpf_dsq_move_to_local(AGED_DSQ))
		ordered_move_to_local(cpu);
}

/* Whom this CPU was promised to may have run elsewhere: then its own task may lose it again. */
void SCHEDCP_OPS(latency_class_tick, struct task_struct *p)
{
	struct task_ctx *tctx = task_ctx_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));

	if (tctx && cctx)
		cpu_runs(cctx, p, tctx->charged ? CLASS_LATENCY : CLASS_THROUGHPUT);
}

void SCHEDCP_OPS(latency_class_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (tctx)
		behaviour_wake(&tctx->behaviour);
}

void SCHEDCP_OPS(latency_class_running, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));

	if (!wait || !tctx || !cctx)
		return;
	wait_running(wait);
	tctx->charged = is_latency(p, tctx);
	cctx->since = wait->running_at;
	cpu_runs(cctx, p, tctx->charged ? CLASS_LATENCY : CLASS_THROUGHPUT);
}

void SCHEDCP_OPS(latency_class_stopping, struct task_struct *p, bool runnable)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));
	u64 used;

	if (!wait || !tctx || !cctx)
		return;
	used = wait_stopping(wait, p);
	behaviour_ran(&tctx->behaviour, used);
	/* Also the burst that ends its being one: it had the CPU on those terms. */
	if (tctx->charged)
		cap_charge(cctx, CLASS_LATENCY, used);
	cctx->running = 0;
}

void SCHEDCP_OPS(latency_class_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (tctx)
		behaviour_sleep(&tctx->behaviour, deq_flags);
}

s32 SCHEDCP_OPS_SLEEPABLE(latency_class_init_task, struct task_struct *p,
			  struct scx_init_task_args *args)
{
	struct task_ctx *tctx =
		bpf_task_storage_get(&task_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tctx)
		return -NO_MEMORY;
	behaviour_start(&tctx->behaviour);
	return wait_ctx_create(p);
}

/* The task may come from another class: what it did there is not charged. */
void SCHEDCP_OPS(latency_class_enable, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);

	if (wait)
		wait->vtime = vtime_now;
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(latency_class_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(latency_class_init)
{
	s32 err = scx_bpf_create_dsq(LATENCY_DSQ, -1);

	return err ?: queues_create();
}

void SCHEDCP_OPS(latency_class_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops latency_class_ops = {
	.select_cpu = (void *)latency_class_select_cpu,
	.enqueue = (void *)latency_class_enqueue,
	.dispatch = (void *)latency_class_dispatch,
	.tick = (void *)latency_class_tick,
	.runnable = (void *)latency_class_runnable,
	.running = (void *)latency_class_running,
	.stopping = (void *)latency_class_stopping,
	.quiescent = (void *)latency_class_quiescent,
	.init_task = (void *)latency_class_init_task,
	.enable = (void *)latency_class_enable,
	.cpu_release = (void *)latency_class_cpu_release,
	.init = (void *)latency_class_init,
	.exit = (void *)latency_class_exit,
	.timeout_ms = 10000,
	.name = "schedcp_latency_class",
};
