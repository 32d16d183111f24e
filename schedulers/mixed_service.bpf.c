// SPDX-License-Identifier: GPL-2.0
/*
 * mixed_service: services go first while they stay within what their cgroups deserve.
 *
 * A service task is one that runs briefly and sleeps much (average and present burst within
 * `burst_limit_ns`, asleep for `sleep_percent` of the time), or one of a cgroup that user space
 * listed in `target_cgroups`, for `target_burst_ns` at a time. When it wakes it takes an idle CPU,
 * else that of a batch task; else it waits by deadline before all batch work. It does so while it
 * is no more than `lead_ns` of CPU time of the machine ahead of what the weights of its cgroups and
 * its own (nice) give it. All other work, and services beyond that, run in the order of virtual
 * time by these weights; who runs goes on while it comes before all who wait, for `slice_ns` at a
 * time. A cgroup that has used its cpu.max up waits apart until it has some again. Whoever has
 * waited for `ageing_ns` goes before all other work, and in turns with services; kernel threads of
 * one CPU wait for nobody but each other.
 *
 * Good for: services that answer requests beside batch work on the same node, where requests and
 * limits of both must hold.
 * Bad for: nodes where nearly all work is brief (then it is a deadline queue), large machines (two
 * queues for all CPUs), limits far below a tick in every period for many tasks.
 */
#include "schedcp/behaviour.bpf.h"
#include "schedcp/cpus.bpf.h"
#include "schedcp/group_ops.bpf.h"
#include "schedcp/placement.bpf.h"
#include "schedcp/targets.bpf.h"

SCHEDCP_LICENSE;

/* How long a batch task may run before the next one gets its CPU; enforced at ticks. */
const volatile u64 slice_ns = 8 * NSEC_PER_MSEC;
/* The longest burst of a task in a listed cgroup. */
const volatile u64 target_burst_ns = 20 * NSEC_PER_MSEC;
/* How much CPU time of the machine a service may be ahead of its share. */
const volatile u64 lead_ns = 100 * NSEC_PER_MSEC;

/* How old it may be whether a task's cgroup is listed. */
#define TARGET_LOOK_NS (100 * (u64)NSEC_PER_MSEC)

/* In the order in which they go first. */
enum task_class {
	CLASS_SERVICE,
	CLASS_BATCH,
};

struct task_ctx {
	struct behaviour behaviour;
	u64 looked_at;
	bool target;  /* its cgroup is listed, as it was looked at last */
	bool service; /* as it was when it woke, ran or stopped */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

/* How often a CPU looked for somebody. */
u32 picks;

static __always_inline struct task_ctx *task_ctx_of(struct task_struct *p)
{
	return bpf_task_storage_get(&task_ctxs, p, 0, 0);
}

static __always_inline bool is_service(const struct task_ctx *tctx)
{
	if (tctx->target)
		return tctx->behaviour.burst_ns <= target_burst_ns;
	return behaviour_is_brief(&tctx->behaviour, burst_limit_ns) &&
	       behaviour_sleeps(&tctx->behaviour);
}

/* A service that is ahead of its share waits in the order of all others. */
static __always_inline bool goes_first(const struct wait_ctx *wait, const struct task_ctx *tctx)
{
	u64 lead = lead_ns * scx_bpf_nr_cpu_ids();

	return tctx->service && vtime_before(wait->vtime, vtime_now + lead);
}

static __always_inline u32 class_of(const struct task_ctx *tctx)
{
	return tctx->service ? CLASS_SERVICE : CLASS_BATCH;
}

/* Their lead bounds what services take of the machine; of one CPU they may take all. */
static __always_inline bool batch_claim(s32 cpu)
{
	return cpu_claim(cpu, CLASS_SERVICE, 0, PERCENT);
}

static __always_inline s32 batch_victim(const struct task_struct *p, s32 prev_cpu)
{
	return victim_claim(p, prev_cpu, CLASS_SERVICE, 0, PERCENT);
}

s32 SCHEDCP_OPS(mixed_service_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	bool is_idle = false;
	s32 cpu, victim;

	if (!member || !wait || !tctx || group_throttled(member))
		return prev_cpu;
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle) {
		idle_insert(p, slice_ns);
		return cpu;
	}
	if (!goes_first(wait, tctx))
		return cpu;
	victim = batch_victim(p, prev_cpu);
	if (victim < 0)
		return cpu;
	preempt_insert(p, burst_limit_ns);
	return victim;
}

/*
 * Nobody was to be preempted at its wakeup, or it is not the first to run in this burst. Deadlines
 * are in real time, so that nobody can starve: a short burst brings it forward. It does not count
 * as waiting: who goes first is not who is next by virtual time.
 */
static __always_inline void enqueue_service(struct task_struct *p, const struct task_ctx *tctx,
					    u64 enq_flags)
{
	u64 deadline = bpf_ktime_get_ns() + tctx->behaviour.average_burst_ns;
	s32 victim;

	scx_bpf_dsq_insert_vtime(p, LATENCY_DSQ, burst_limit_ns, deadline, enq_flags);
	STAT_INC(latency_dispatches);
	victim = batch_victim(p, scx_bpf_task_cpu(p));
	if (victim < 0) {
		group_kick(p, enq_flags);
		return;
	}
	scx_bpf_kick_cpu(victim, SCX_KICK_PREEMPT);
	STAT_INC(preemptions);
}

/* Tasks of one CPU are never offered to select_cpu, so that they may have to preempt here. */
static __always_inline void enqueue_pinned(struct task_struct *p, struct wait_ctx *wait, u64 order,
					   bool first, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (first && (enq_flags & SCX_ENQ_WAKEUP) && batch_claim(cpu))
		preempt_insert(p, burst_limit_ns);
	else
		pinned_insert(p, wait, cpu, slice_ns, order, enq_flags);
}

void SCHEDCP_OPS(mixed_service_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);
	u64 order;

	if (!member || !wait || !tctx) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	if (group_throttled(member)) {
		throttled_insert(p, wait, member, slice_ns, enq_flags);
		return;
	}
	order = group_order(wait, member, slice_ns, enq_flags);
	if (is_pinned(p)) {
		enqueue_pinned(p, wait, order, goes_first(wait, tctx), enq_flags);
		return;
	}
	if (goes_first(wait, tctx)) {
		enqueue_service(p, tctx, enq_flags);
		return;
	}
	ordered_insert(p, wait, SHARED_DSQ, slice_ns, order, enq_flags);
	group_kick(p, enq_flags);
	STAT_INC(shared_dispatches);
}

/* Services and whoever waited too long take turns, so that neither keeps the other waiting. */
static __always_inline bool ahead_move_to_local(void)
{
	bool services_first = __sync_fetch_and_add(&picks, 1) % 2;

	if (services_first && scx_bpf_dsq_move_to_local(LATENCY_DSQ))
		return true;
	return scx_bpf_dsq_move_to_local(AGED_DSQ) || scx_bpf_dsq_move_to_local(LATENCY_DSQ);
}

void SCHEDCP_OPS(mixed_service_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();

	throttled_let_go(now);
	queues_age(cpu);
	if (!scx_bpf_dsq_move_to_local(first_dsq(cpu)) && !ahead_move_to_local())
		group_move_to_local(cpu, prev, now, slice_ns);
}

void SCHEDCP_OPS(mixed_service_tick, struct task_struct *p)
{
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);

	if (!member || !wait || !tctx || !cctx)
		return;
	behaviour_ran(&tctx->behaviour, group_charge(wait, member));
	/* It may have become batch work; and whom this CPU was promised to may run elsewhere. */
	tctx->service = is_service(tctx);
	cpu_runs(cctx, p, class_of(tctx));
	if (group_throttled(member))
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
	/* One long burst, which is over, makes no batch work of it. */
	tctx->service = is_service(tctx);
}

void SCHEDCP_OPS(mixed_service_running, struct task_struct *p)
{
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);

	if (!member || !wait || !tctx || !cctx)
		return;
	group_running(wait, member);
	if (wait->running_at - tctx->looked_at > TARGET_LOOK_NS) {
		tctx->looked_at = wait->running_at;
		tctx->target = is_target(cgroup_of(p));
	}
	cctx->since = wait->running_at;
	cpu_runs(cctx, p, class_of(tctx));
	groups_look(p, member);
}

void SCHEDCP_OPS(mixed_service_stopping, struct task_struct *p, bool runnable)
{
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);
	struct task_ctx *tctx = task_ctx_of(p);

	if (!member || !wait || !tctx || !cctx)
		return;
	behaviour_ran(&tctx->behaviour, group_charge(wait, member));
	tctx->service = is_service(tctx);
	cctx->running = 0;
}

void SCHEDCP_OPS(mixed_service_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct group_member *member = group_member_of(p);
	struct task_ctx *tctx = task_ctx_of(p);

	if (!member || !tctx)
		return;
	behaviour_sleep(&tctx->behaviour, deq_flags);
	group_leave(member);
}

s32 SCHEDCP_OPS_SLEEPABLE(mixed_service_init_task, struct task_struct *p,
			  struct scx_init_task_args *args)
{
	struct task_ctx *tctx =
		bpf_task_storage_get(&task_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!tctx)
		return -NO_MEMORY;
	behaviour_start(&tctx->behaviour);
	return group_member_create(p) ?: wait_ctx_create(p);
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
	.enable = (void *)group_enable,
	.cgroup_init = (void *)group_cgroup_init,
	.cgroup_exit = (void *)group_cgroup_exit,
	.cgroup_set_weight = (void *)group_cgroup_set_weight,
	.cpu_release = (void *)mixed_service_cpu_release,
	.init = (void *)mixed_service_init,
	.exit = (void *)mixed_service_exit,
	.flags = SCX_OPS_ENQ_LAST,
	.timeout_ms = 10000,
	.name = "schedcp_mixed_service",
};
