// SPDX-License-Identifier: GPL-2.0
/*
 * cgroup_fair: everybody has what its cgroups' weights give it, and has it soon.
 *
 * Each task deserves the part of the machine that the weights of its cgroups and its own (nice)
 * give it among all who want to run now; its CPU time divided by that part is its virtual time, and
 * the smallest runs next. A waking task takes an idle CPU, else that of a task which is further
 * ahead of it than `margin_ns` of CPU time of the machine; who runs goes on while it comes before
 * all who wait. A cgroup that has used its cpu.max up waits apart until it has some again. One
 * queue serves all CPUs; tasks bound to a CPU wait in that CPU's own queue, by the same clock.
 * Sleepers may bank one slice of credit at most, and whoever has waited for `ageing_ns` goes first,
 * so that neither weights nor limits starve anybody.
 *
 * Good for: nodes with all kinds of work, where requests and limits must hold and who uses less
 * than its part should not wait.
 * Bad for: throughput of work that is often preempted, large machines (one queue), limits far below
 * a tick (4 ms at 250 Hz) in every period for many tasks: ageing lets them exceed it.
 */
#include "schedcp/group_ops.bpf.h"
#include "schedcp/group_task_ops.bpf.h"
#include "schedcp/placement.bpf.h"

SCHEDCP_LICENSE;

/* How long a task may run before the next one gets its CPU; enforced at ticks. */
const volatile u64 slice_ns = 4 * NSEC_PER_MSEC;
/* Who wakes takes the CPU of a task that is further ahead than this, in CPU time of the machine. */
const volatile u64 margin_ns = 1 * NSEC_PER_MSEC;

struct cpu_ctx {
	u64 order; /* of who runs; 0: nobody to preempt, or the CPU is promised */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_ctx);
} cpu_ctxs SEC(".maps");

static __always_inline struct cpu_ctx *cpu_ctx_of(s32 cpu)
{
	u32 zero = 0;

	return bpf_map_lookup_percpu_elem(&cpu_ctxs, &zero, cpu);
}

/* Promise the CPU to one task if who runs there comes after `order`. */
static __always_inline bool cpu_claim(s32 cpu, u64 order)
{
	struct cpu_ctx *cctx = cpu_ctx_of(cpu);
	u64 running = cctx ? cctx->order : 0;

	return running && vtime_before(order, running) &&
	       __sync_bool_compare_and_swap(&cctx->order, running, 0);
}

/*
 * Whom a waking task goes ahead of. All CPUs together make the clock advance, so that the margin is
 * counted for each of them, also for a task that may run on one only: it has the same clock.
 */
static __always_inline u64 claim_order(u64 vtime)
{
	return vtime + margin_ns * scx_bpf_nr_cpu_ids();
}

/* A CPU to preempt, the nearest by number; negative when there is none. */
static __always_inline s32 victim_claim(const struct task_struct *p, s32 prev_cpu, u64 vtime)
{
	s32 cpus = scx_bpf_nr_cpu_ids(), step;
	u64 order = claim_order(vtime);

	bpf_for (step, 0, cpus) {
		s32 cpu = (prev_cpu + step) % (cpus ?: 1);

		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr) && cpu_claim(cpu, order))
			return cpu;
	}
	return -1;
}

s32 SCHEDCP_OPS(cgroup_fair_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);
	bool is_idle = false;
	s32 cpu, victim;

	if (!member || !wait || group_throttled(member))
		return prev_cpu;
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle) {
		idle_insert(p, slice_ns);
		return cpu;
	}
	victim = victim_claim(p, prev_cpu, group_order(wait, member, slice_ns, SCX_ENQ_WAKEUP));
	if (victim < 0)
		return cpu;
	preempt_insert(p, slice_ns);
	return victim;
}

void SCHEDCP_OPS(cgroup_fair_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct group_member *member = group_member_of(p);
	s32 cpu = scx_bpf_task_cpu(p);
	u64 order;

	if (!wait || !member) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	if (group_throttled(member)) {
		throttled_insert(p, wait, member, slice_ns, enq_flags);
		return;
	}
	order = group_order(wait, member, slice_ns, enq_flags);
	if (is_pinned(p)) {
		/* Tasks of one CPU are never offered to select_cpu. */
		if ((enq_flags & SCX_ENQ_WAKEUP) && cpu_claim(cpu, claim_order(order)))
			preempt_insert(p, slice_ns);
		else
			pinned_insert(p, wait, cpu, slice_ns, order, enq_flags);
		return;
	}
	ordered_insert(p, wait, SHARED_DSQ, slice_ns, order, enq_flags);
	group_kick(p, enq_flags);
	STAT_INC(shared_dispatches);
}

void SCHEDCP_OPS(cgroup_fair_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();

	throttled_let_go(now);
	queues_age(cpu);
	if (!first_move_to_local(cpu))
		group_move_to_local(cpu, prev, now, slice_ns);
}

void SCHEDCP_OPS(cgroup_fair_tick, struct task_struct *p)
{
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);

	if (!wait || !member || !cctx)
		return;
	group_charge(wait, member);
	if (cctx->order)
		cctx->order = wait->vtime;
	if (group_throttled(member))
		slice_set(p, 0);
}

void SCHEDCP_OPS(cgroup_fair_running, struct task_struct *p)
{
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);

	if (!wait || !member || !cctx)
		return;
	group_running(wait, member);
	/* A kernel thread is no victim, however far it is ahead. */
	cctx->order = is_kthread(p) ? 0 : wait->vtime;
	groups_look(p, member);
}

void SCHEDCP_OPS(cgroup_fair_stopping, struct task_struct *p, bool runnable)
{
	struct cpu_ctx *cctx = cpu_ctx_of(scx_bpf_task_cpu(p));
	struct group_member *member = group_member_of(p);
	struct wait_ctx *wait = wait_ctx_of(p);

	if (!wait || !member || !cctx)
		return;
	group_charge(wait, member);
	cctx->order = 0;
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(cgroup_fair_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(cgroup_fair_init)
{
	s32 err = queues_create();

	return err ?: throttled_create();
}

void SCHEDCP_OPS(cgroup_fair_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops cgroup_fair_ops = {
	.select_cpu = (void *)cgroup_fair_select_cpu,
	.enqueue = (void *)cgroup_fair_enqueue,
	.dispatch = (void *)cgroup_fair_dispatch,
	.tick = (void *)cgroup_fair_tick,
	.runnable = (void *)group_task_runnable,
	.running = (void *)cgroup_fair_running,
	.stopping = (void *)cgroup_fair_stopping,
	.quiescent = (void *)group_task_quiescent,
	.init_task = (void *)group_task_init,
	.enable = (void *)group_enable,
	.cgroup_init = (void *)group_cgroup_init,
	.cgroup_exit = (void *)group_cgroup_exit,
	.cgroup_set_weight = (void *)group_cgroup_set_weight,
	.cpu_release = (void *)cgroup_fair_cpu_release,
	.init = (void *)cgroup_fair_init,
	.exit = (void *)cgroup_fair_exit,
	.flags = SCX_OPS_ENQ_LAST,
	.timeout_ms = 10000,
	.name = "schedcp_cgroup_fair",
};
