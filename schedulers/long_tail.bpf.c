// SPDX-License-Identifier: GPL-2.0
/*
 * long_tail: the longest job first, so that it is not the last to end.
 *
 * Work left is what counts: the expected run time that user space listed for the task's cgroup in
 * `expected_runtime`, less the CPU time the task has attained; where nothing is listed, or more was
 * attained than expected, the attained time itself (what has run long is likely to run long yet).
 * Both count in proportion to weight. The task with the most work left runs next, and a waking job
 * preempts nobody. While more jobs wait than there are CPUs, a job that has begun comes before its
 * equals, so that jobs end one by one; only the last ones take turns, so that no CPU is left alone
 * with one: there an unknown job is expected to take what the last ones took that ended. Of jobs
 * that nothing is known about each fourth is the youngest, because a long one is as likely to come
 * last as first. Tasks that run briefly and sleep much are no jobs: they go before them, in order
 * of arrival. Whoever has waited for `ageing_ns` goes before all of these; only kernel threads of
 * one CPU are ahead of that, and take it from whoever runs. A sleep of `job_gap_ns` ends a job.
 *
 * Good for: batches that end when their last job ends, with one or a few long jobs among many.
 * Bad for: latency (nobody is preempted), fairness between jobs within a batch, cgroup weights and
 * cpu.max (not enforced).
 */
#include "schedcp/queues.bpf.h"
#include "schedcp/behaviour.bpf.h"
#include "schedcp/expectations.bpf.h"
#include "schedcp/slices.bpf.h"

SCHEDCP_LICENSE;

/* How long a job may run before the order is looked at again; enforced at ticks. */
const volatile u64 slice_ns = 5 * NSEC_PER_MSEC;
/* A task that slept this long starts a new job. */
const volatile u64 job_gap_ns = 1 * NSEC_PER_SEC;

/* Orders count down from here, so that more work left sorts first; far from wrapping round. */
#define ORDER_BASE (1ULL << 62)
/* More work than this sorts alike: twelve days. */
#define WORK_MAX_NS (1ULL << 50)
/* Before every job, however much work it has left and whatever its weight (at most 100-fold). */
#define ORDER_BRIEF (ORDER_BASE - (1ULL << 58))

enum job_consts {
	YOUNGEST_EVERY = 4, /* each such pick among unknown jobs is the youngest */
};

struct task_ctx {
	struct behaviour behaviour;
	u64 attained_ns; /* CPU time of this job */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

/* How often a CPU looked for a job. */
u32 picks;
/* What the last jobs came to before they slept or ended. */
u64 typical_ns;

static __always_inline struct task_ctx *task_ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&task_ctxs, p, 0, 0);
}

static __always_inline bool is_job(const struct task_struct *p, const struct task_ctx *tctx)
{
	return !is_kthread(p) && !(behaviour_is_brief(&tctx->behaviour, burst_limit_ns) &&
				   behaviour_sleeps(&tctx->behaviour));
}

static __always_inline bool many_wait(void)
{
	return scx_bpf_dsq_nr_queued(SHARED_DSQ) > (s32)scx_bpf_nr_cpu_ids();
}

static __always_inline u64 job_order(const struct task_struct *p, u64 attained)
{
	u64 expected = expected_in(cgroup_of(p)), left = attained;

	if (!expected && !many_wait())
		expected = typical_ns;
	if (expected > attained)
		left = many_wait() ? expected + attained : expected - attained;
	if (left > WORK_MAX_NS)
		left = WORK_MAX_NS;
	/* Whoever differs by less than a slice is alike, and goes by arrival. */
	left -= left % (slice_ns ?: 1);
	return ORDER_BASE - left * p->scx.weight / WEIGHT_DEFAULT;
}

s32 SCHEDCP_OPS(long_tail_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
		STAT_INC(idle_dispatches);
	}
	return cpu;
}

void SCHEDCP_OPS(long_tail_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	bool job;

	if (!wait || !tctx) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	job = is_job(p, tctx);
	if (is_pinned(p)) {
		pinned_insert(p, wait, scx_bpf_task_cpu(p), slice_ns,
			      job ? job_order(p, tctx->attained_ns) : ORDER_BRIEF, enq_flags);
		return;
	}
	if (job) {
		ordered_insert(p, wait, SHARED_DSQ, slice_ns, job_order(p, tctx->attained_ns),
			       enq_flags);
		STAT_INC(shared_dispatches);
	} else {
		scx_bpf_dsq_insert(p, AGED_DSQ, slice_ns, enq_flags);
		STAT_INC(latency_dispatches);
	}
	kick_idle_for(p, enq_flags);
}

/* It is not queued again yet: without this, whoever waits would be next. */
static __always_inline bool goes_on(struct task_struct *prev, s32 cpu)
{
	struct wait_ctx *wait;
	struct task_ctx *tctx;
	u64 order, head;

	if (!prev || !(prev->scx.flags & SCX_TASK_QUEUED) || is_pinned(prev))
		return false;
	wait = wait_ctx_of(prev);
	tctx = task_ctx_of(prev);
	if (!wait || !tctx || !is_job(prev, tctx))
		return false;
	order = job_order(prev, tctx->attained_ns + bpf_ktime_get_ns() - wait->running_at);
	if ((dsq_head_order(SHARED_DSQ, &head) && !vtime_before(order, head)) ||
	    (dsq_head_order(pinned_dsq(cpu), &head) && !vtime_before(order, head)))
		return false;
	slice_renew(prev, slice_ns);
	return true;
}

/* Run the job that came last, if nothing is known of it. */
static __always_inline bool youngest_move_to_local(s32 cpu)
{
	struct task_struct *p;

	if (__sync_fetch_and_add(&picks, 1) % YOUNGEST_EVERY)
		return false;
	bpf_for_each (scx_dsq, p, SHARED_DSQ, SCX_DSQ_ITER_REV) {
		return p->scx.dsq_vtime == ORDER_BASE && may_run_on(p, cpu) &&
		       scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, SCX_DSQ_LOCAL, 0);
	}
	return false;
}

void SCHEDCP_OPS(long_tail_dispatch, s32 cpu, struct task_struct *prev)
{
	queues_age(cpu);
	if (first_move_to_local(cpu) || goes_on(prev, cpu) || youngest_move_to_local(cpu))
		return;
	ordered_move_to_local(cpu);
}

void SCHEDCP_OPS(long_tail_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);
	u64 slept_at;

	if (!tctx)
		return;
	slept_at = tctx->behaviour.slept_at;
	if (slept_at && vtime_before(slept_at + job_gap_ns, bpf_ktime_get_ns()))
		tctx->attained_ns = 0;
	behaviour_wake(&tctx->behaviour);
}

void SCHEDCP_OPS(long_tail_running, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);

	if (wait)
		wait_running(wait);
}

void SCHEDCP_OPS(long_tail_stopping, struct task_struct *p, bool runnable)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	u64 used;

	if (!wait || !tctx)
		return;
	used = wait_stopping(wait, p);
	tctx->attained_ns += used;
	behaviour_ran(&tctx->behaviour, used);
}

void SCHEDCP_OPS(long_tail_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct task_ctx *tctx = task_ctx_of(p);

	if (!tctx)
		return;
	if ((deq_flags & SCX_DEQ_SLEEP) && is_job(p, tctx) && tctx->attained_ns > slice_ns)
		typical_ns =
			typical_ns ? average_of(typical_ns, tctx->attained_ns) : tctx->attained_ns;
	behaviour_sleep(&tctx->behaviour, deq_flags);
}

s32 SCHEDCP_OPS_SLEEPABLE(long_tail_init_task, struct task_struct *p,
			  struct scx_init_task_args *args)
{
	struct task_ctx *tctx =
		bpf_task_storage_get(&task_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tctx)
		return -NO_MEMORY;
	behaviour_start(&tctx->behaviour);
	return wait_ctx_create(p);
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(long_tail_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(long_tail_init)
{
	return queues_create();
}

void SCHEDCP_OPS(long_tail_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops long_tail_ops = {
	.select_cpu = (void *)long_tail_select_cpu,
	.enqueue = (void *)long_tail_enqueue,
	.dispatch = (void *)long_tail_dispatch,
	.runnable = (void *)long_tail_runnable,
	.running = (void *)long_tail_running,
	.stopping = (void *)long_tail_stopping,
	.quiescent = (void *)long_tail_quiescent,
	.init_task = (void *)long_tail_init_task,
	.cpu_release = (void *)long_tail_cpu_release,
	.init = (void *)long_tail_init,
	.exit = (void *)long_tail_exit,
	.timeout_ms = 10000,
	.name = "schedcp_long_tail",
};
