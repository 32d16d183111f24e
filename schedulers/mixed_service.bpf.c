// SPDX-License-Identifier: GPL-2.0
/*
 * mixed_service: services go first while they stay within what their cgroups deserve.
 *
 * A service task is one that runs briefly and sleeps much (average and present burst within
 * `burst_limit_ns`, asleep for `sleep_percent` of the time), or one of a cgroup that user space
 * listed in `target_cgroups`, for `target_burst_ns` at a time. When it wakes it takes an idle CPU,
 * else that of a batch task; else it waits by deadline before all batch work. It does so while it
 * is no more than `lead_ns` of CPU time of the machine ahead of what the weights of its cgroups and
 * its own (nice) give it, and on each CPU while services use less than `service_percent` of the
 * time. All other work, and services beyond that, run in the order of virtual time by these
 * weights; who runs goes on while it comes before all who wait, for `slice_ns` at a time. A cgroup
 * that has used its cpu.max up waits apart until it has some again. Whoever has waited for
 * `ageing_ns` goes before batch work; kernel threads of one CPU wait for nobody but each other.
 *
 * Good for: services that answer requests beside batch work on the same node, where requests and
 * limits of both must hold.
 * Bad for: nodes where nearly all work is brief (then it is a deadline queue), large machines (two
 * queues for all CPUs), limits far below a tick in every period for many tasks.
 */
#include "schedcp/cgroups.bpf.h"
#include "schedcp/classes.bpf.h"
#include "schedcp/group_limits.bpf.h"

SCHEDCP_LICENSE;

/* How long a batch task may run before the next one gets its CPU; enforced at ticks. */
const volatile u64 slice_ns = 8 * NSEC_PER_MSEC;
/* The longest burst of a task in a listed cgroup. */
const volatile u64 target_burst_ns = 20 * NSEC_PER_MSEC;
/* How much CPU time of the machine a service may be ahead of its share. */
const volatile u64 lead_ns = 100 * NSEC_PER_MSEC;
/* The share of a CPU up to which services go first. */
const volatile u32 service_percent = 80;

enum task_class {
	CLASS_SERVICE = 0,
	CLASS_BATCH = 1,
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CGROUP_ENTRIES_MAX);
	__type(key, u64);
	__type(value, u64);
} target_cgroups SEC(".maps");

/* By what is known when it falls asleep. */
static __always_inline u32 class_of(const struct task_struct *p, const struct task_ctx *tctx)
{
	if (behaviour_is_brief(&tctx->behaviour, burst_limit_ns) &&
	    behaviour_sleeps(&tctx->behaviour))
		return CLASS_SERVICE;
	return cgroup_value(p, &target_cgroups) ? CLASS_SERVICE : CLASS_BATCH;
}

static __always_inline bool goes_first(const struct wait_ctx *wait, const struct task_ctx *tctx)
{
	u64 lead = lead_ns * scx_bpf_nr_cpu_ids();

	return tctx->class == CLASS_SERVICE && vtime_before(wait->vtime, vtime_now + lead);
}

s32 SCHEDCP_OPS(mixed_service_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	bool is_idle = false;
	s32 cpu, victim;

	if (!member || !wait || !tctx || group_throttled(member->group, bpf_ktime_get_ns()))
		return prev_cpu;
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
		STAT_INC(idle_dispatches);
		return cpu;
	}
	if (!goes_first(wait, tctx))
		return cpu;
	victim = victim_claim(p, prev_cpu, CLASS_SERVICE, 0, service_percent);
	if (victim < 0)
		return cpu;
	preempt_insert(p, burst_limit_ns);
	return victim;
}

/*
 * Nobody was to be preempted at its wakeup, or it is not the first to run in this burst. Deadlines
 * are in real time, so that nobody can starve: a short burst brings it forward.
 */
static __always_inline void enqueue_service(struct task_struct *p, struct wait_ctx *wait,
					    const struct task_ctx *tctx, u64 enq_flags)
{
	u64 deadline = bpf_ktime_get_ns() + tctx->behaviour.average_burst_ns;
	s32 victim;

	ordered_insert(p, wait, LATENCY_DSQ, burst_limit_ns, deadline, enq_flags);
	STAT_INC(latency_dispatches);
	victim = victim_claim(p, scx_bpf_task_cpu(p), CLASS_SERVICE, 0, service_percent);
	if (victim < 0) {
		kick_idle_for(p, enq_flags);
		return;
	}
	scx_bpf_kick_cpu(victim, SCX_KICK_PREEMPT);
	STAT_INC(preemptions);
}

void SCHEDCP_OPS(mixed_service_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	u64 due, order;
	bool first;

	if (!member || !wait || !tctx) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	due = group_throttled(member->group, bpf_ktime_get_ns());
	if (due) {
		throttled_insert(p, wait, due, slice_ns, enq_flags);
		return;
	}
	order = group_order(wait, slice_ns, enq_flags);
	first = goes_first(wait, tctx);
	if (first && woken_here(p, enq_flags) &&
	    cpu_claim(scx_bpf_task_cpu(p), CLASS_SERVICE, 0, service_percent)) {
		preempt_insert(p, burst_limit_ns);
		return;
	}
	if (is_pinned(p)) {
		pinned_insert(p, wait, scx_bpf_task_cpu(p), slice_ns, order, enq_flags);
		return;
	}
	if (first) {
		enqueue_service(p, wait, tctx, enq_flags);
		return;
	}
	ordered_insert(p, wait, SHARED_DSQ, slice_ns, order, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

static __always_inline bool batch_move_to_local(s32 cpu, struct task_struct *prev, u64 now)
{
	throttled_put_aside(SHARED_DSQ, now);
	throttled_put_aside(pinned_dsq(cpu), now);
	return group_goes_on(prev, cpu, now, slice_ns) || ordered_move_to_local(cpu);
}

void SCHEDCP_OPS(mixed_service_dispatch, s32 cpu, struct task_struct *prev)
{
	struct cpu_ctx *cctx = cpu_ctx_of(cpu);
	u64 now = bpf_ktime_get_ns();
	bool leads;

	queues_age(cpu);
	if (scx_bpf_dsq_move_to_local(first_dsq(cpu)))
		return;
	leads = !cctx || !over_cap(cctx, CLASS_SERVICE, service_percent);
	if (leads && scx_bpf_dsq_move_to_local(LATENCY_DSQ))
		return;
	if (scx_bpf_dsq_move_to_local(AGED_DSQ) || batch_move_to_local(cpu, prev, now))
		return;
	scx_bpf_dsq_move_to_local(LATENCY_DSQ);
}

/* Charge what the task ran since it was charged last. */
static __always_inline void service_charge(struct task_struct *p)
{
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	u64 used;

	if (!member || !wait || !tctx || !cctx)
		return;
	used = group_charge(wait, member);
	behaviour_ran(&tctx->behaviour, used);
	cap_window(cctx);
	if (tctx->class == CLASS_SERVICE)
		cctx->used_ns[CLASS_SERVICE] += used;
	if (tctx->behaviour.burst_ns > burst_limit_ns && tctx->behaviour.burst_ns > target_burst_ns)
		tctx->class = CLASS_BATCH;
}

void SCHEDCP_OPS(mixed_service_tick, struct task_struct *p)
{
	struct group_member *member = group_member_of(p);

	service_charge(p);
	if (member && group_throttled(member->group, bpf_ktime_get_ns()))
		slice_set(p, 0);
}

void SCHEDCP_OPS(mixed_service_runnable, struct task_struct *p, u64 enq_flags)
{
	struct group_member *member = group_member_of(p);
	struct task_ctx *tctx = task_ctx_of(p);

	if (!member || !tctx)
		return;
	group_join(p, member);
	behaviour_wake(&tctx->behaviour);
}

void SCHEDCP_OPS(mixed_service_running, struct task_struct *p)
{
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);

	if (!wait || !tctx || !cctx)
		return;
	group_running(wait, member);
	cctx->since = wait->running_at;
	/* A kernel thread is no victim, however long it runs. */
	cctx->running = is_kthread(p) ? 0 : tctx->class + 1;
}

void SCHEDCP_OPS(mixed_service_stopping, struct task_struct *p, bool runnable)
{
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));
	struct group_member *member = group_member_of(p);

	if (!member || !cctx)
		return;
	groups_look(p, member);
	service_charge(p);
	cctx->running = 0;
}

void SCHEDCP_OPS(mixed_service_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct group_member *member = group_member_of(p);
	struct task_ctx *tctx = task_ctx_of(p);

	if (!member || !tctx)
		return;
	group_leave(member);
	behaviour_sleep(&tctx->behaviour, deq_flags);
	tctx->class = class_of(p, tctx);
}

s32 SCHEDCP_OPS_SLEEPABLE(mixed_service_init_task, struct task_struct *p,
			  struct scx_init_task_args *args)
{
	s32 err = group_member_create(p) ?: class_ctx_create(p);
	struct task_ctx *tctx;

	if (err)
		return err;
	tctx = task_ctx_of(p);
	if (tctx)
		tctx->class = CLASS_BATCH;
	return 0;
}

/* The task may come from another class: what it did there is not charged. */
void SCHEDCP_OPS(mixed_service_enable, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);

	if (wait)
		wait->vtime = vtime_now;
}

s32 SCHEDCP_OPS_SLEEPABLE(mixed_service_cgroup_init, struct cgroup *cgroup,
			  struct scx_cgroup_init_args *args)
{
	group_create(cgroup, args->weight);
	return 0;
}

void SCHEDCP_OPS_SLEEPABLE(mixed_service_cgroup_exit, struct cgroup *cgroup)
{
	group_destroy(cgroup);
}

void SCHEDCP_OPS(mixed_service_cgroup_set_weight, struct cgroup *cgroup, u32 weight)
{
	group_set_weight(cgroup, weight);
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(mixed_service_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(mixed_service_init)
{
	s32 err = scx_bpf_create_dsq(LATENCY_DSQ, -1) ?: queues_create();

	return err ?: throttled_create();
}

void SCHEDCP_OPS(mixed_service_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops mixed_service_ops = {
	.select_cpu = (void *)mixed_service_select_cpu,
	.enqueue = (void *)mixed_service_enqueue,
	.dispatch = (void *)mixed_service_dispatch,
	.tick = (void *)mixed_service_tick,
	.runnable = (void *)mixed_service_runnable,
	.running = (void *)mixed_service_running,
	.stopping = (void *)mixed_service_stopping,
	.quiescent = (void *)mixed_service_quiescent,
	.init_task = (void *)mixed_service_init_task,
	.enable = (void *)mixed_service_enable,
	.cgroup_init = (void *)mixed_service_cgroup_init,
	.cgroup_exit = (void *)mixed_service_cgroup_exit,
	.cgroup_set_weight = (void *)mixed_service_cgroup_set_weight,
	.cpu_release = (void *)mixed_service_cpu_release,
	.init = (void *)mixed_service_init,
	.exit = (void *)mixed_service_exit,
	.flags = SCX_OPS_ENQ_LAST,
	.timeout_ms = 10000,
	.name = "schedcp_mixed_service",
};
