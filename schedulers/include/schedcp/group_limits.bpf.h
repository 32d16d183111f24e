/* SPDX-License-Identifier: GPL-2.0 */
/*
 * cpu.max as a hierarchy: a task may run while none of its cgroups has used its quota up.
 *
 * CPU time of a cgroup uses its quota up for a time: a fourth of a CPU, used for 10 ms, for 40 ms.
 * Who uses less saves it up for one period, so that a whole quota may be used at once; who has used
 * more waits until it is paid. Time is charged when a task stops and at each tick, where a task
 * whose cgroup has nothing left loses its slice. Meanwhile tasks wait in a queue of their own in
 * the order in which they may go on. Every CPU that dispatches lets go who is due; a timer wakes
 * idle ones for that.
 *
 * What a cgroup owes is bounded by what one tick on every CPU costs it: nothing else can be beyond
 * its quota.
 *
 * The bound: who has waited for `ageing_ns` runs until the next tick all the same, because the
 * kernel ejects a scheduler under which a task waits for long, and because a task may hold a lock
 * in the kernel. So a cgroup with n tasks may get n ticks in that time beyond a very small quota.
 *
 * Quotas are read through BTF from the task groups: what cpu.max says is where the kernel keeps it
 * for sched_ext, else for the fair class, and no operation is needed for it, which a kernel might
 * lack. With neither, nothing is limited. cpu.max.burst is not kept.
 */
#ifndef SCHEDCP_GROUP_LIMITS_BPF_H
#define SCHEDCP_GROUP_LIMITS_BPF_H

#include "schedcp/group_order.bpf.h"

enum group_limit_consts {
	THROTTLED_DSQ = 3,
	THROTTLED_MOVES = 32, /* at most, of one look */
	CLOCK_MONOTONIC = 1,  /* a macro of user space */
};

/* How old a reading of cpu.max and cpu.idle may be. */
#define GROUP_LOOK_NS (10 * (u64)NSEC_PER_MSEC)
/* The longest that a kernel lets pass between two ticks. */
#define TICK_NS (10 * (u64)NSEC_PER_MSEC)
/* How often the timer looks when nobody is throttled. */
#define THROTTLED_LOOK_NS (10 * (u64)NSEC_PER_MSEC)
struct scx_task_group___limits {
	u64 bw_period_us;
	u64 bw_quota_us;
} __attribute__((preserve_access_index));

struct cfs_bandwidth___limits {
	u64 period;
	u64 quota;
} __attribute__((preserve_access_index));

struct task_group___limits {
	int idle;
	struct task_group___limits *parent;
	struct scx_task_group___limits scx;
	struct cfs_bandwidth___limits cfs_bandwidth;
} __attribute__((preserve_access_index));

struct throttled_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct throttled_timer);
} throttled_timers SEC(".maps");

/*
 * Read a cgroup's cpu.max and cpu.idle. No limit is the largest number, and remains a large one. A
 * new limit begins without debts.
 */
static __always_inline void group_look(struct group_node *node, struct task_group___limits *tg)
{
	u64 quota = 0, period = 0;
	u32 idle = !!BPF_CORE_READ(tg, idle);

	if (bpf_core_field_exists(tg->scx.bw_quota_us)) {
		quota = BPF_CORE_READ(tg, scx.bw_quota_us) * NSEC_PER_USEC;
		period = BPF_CORE_READ(tg, scx.bw_period_us) * NSEC_PER_USEC;
	} else if (bpf_core_field_exists(tg->cfs_bandwidth.quota)) {
		quota = BPF_CORE_READ(tg, cfs_bandwidth.quota);
		period = BPF_CORE_READ(tg, cfs_bandwidth.period);
	}
	node->worth = idle * GROUP_IDLE_WEIGHT + !idle * node->weight;
	if (node->quota_ns != quota)
		node->paid_until = 0;
	node->quota_ns = quota;
	node->period_ns = period;
}

/* Call it from ops.running, where the task's group cannot change. */
static __always_inline void groups_look(struct task_struct *p, const struct group_member *member)
{
	struct task_group___limits *tg = (void *)p->sched_task_group;
	struct group_node *node = group_node_of(member->group);
	u64 now = bpf_ktime_get_ns(), id = member->group;
	s32 level;

	if (!node || now - node->looked_at < GROUP_LOOK_NS)
		return;
	node->looked_at = now;
	bpf_for (level, 0, GROUP_LEVELS_MAX) {
		node = group_node_of(id);
		if (!node)
			break;
		group_look(node, tg);
		tg = BPF_CORE_READ(tg, parent);
		id = node->parent;
	}
}

static __always_inline u64 quota_cost(const struct group_node *node, u64 used)
{
	return used * node->period_ns / (node->quota_ns | 1);
}

/*
 * Charge a cgroup. Return the time until which its quota is used up. Who runs all the same, because
 * they waited for `ageing_ns`, would otherwise leave a debt without end to those who come later.
 */
static __always_inline u64 group_pay(struct group_node *node, u64 used, u64 now)
{
	u64 cost = quota_cost(node, used), saved = now - node->period_ns;
	u64 latest = now + node->period_ns + quota_cost(node, TICK_NS * scx_bpf_nr_cpu_ids());
	u64 paid = node->paid_until;

	/* Another CPU may charge it meanwhile, and that must not be lost. */
	if (vtime_before(paid, saved))
		__sync_val_compare_and_swap(&node->paid_until, paid, saved);
	if (vtime_before(latest, paid))
		__sync_val_compare_and_swap(&node->paid_until, paid, latest);
	return __sync_fetch_and_add(&node->paid_until, cost) + cost;
}

/*
 * Call it from ops.tick and ops.stopping: charge the task's virtual time and its cgroups' quotas
 * with what it ran since it was charged last, and return that. A weight that was changed since a
 * cgroup became active, or that two CPUs counted in the wrong order, is set right on the way.
 */
static __always_inline u64 group_charge(struct wait_ctx *wait, struct group_member *member)
{
	u64 now = bpf_ktime_get_ns(), id = member->group, share = SHARE_ONE, due_at = 0;
	struct group_node *own = group_node_of(id);
	u64 used = now - wait->running_at;
	u64 weight = member->claim;
	s64 owed = 0;
	s32 level;

	wait->running_at = now;
	bpf_for (level, 0, GROUP_LEVELS_MAX) {
		struct group_node *node = group_node_of(id);
		u64 paid;

		if (!node)
			break;
		/* Not zero; a one more or less does not matter. */
		share = share * weight / ((__sync_fetch_and_add(&node->claims, owed) + owed) | 1);
		paid = group_pay(node, used, now);
		if (paid > due_at)
			due_at = paid;
		weight = node->worth;
		owed = (s64)weight - __sync_lock_test_and_set(&node->claimed, (u32)weight);
		id = node->parent;
	}
	member->share = share;
	wait->vtime += by_share(share, used);
	/* Nobody else was next: time passes as all CPUs together spend it. */
	vtime_now += used * member->at_once;
	if (own)
		own->due_at = due_at;
	return used;
}

/* When the tasks of this cgroup may go on. */
static __always_inline u64 group_due(u64 id)
{
	struct group_node *node = group_node_of(id);

	return node ? node->due_at : 0;
}

static __always_inline bool group_throttled(const struct group_member *member)
{
	return vtime_before(bpf_ktime_get_ns(), group_due(member->group));
}

/* When the task leaves the queue of the throttled: when it is due, or has waited too long. */
static __always_inline u64 throttled_order(const struct wait_ctx *wait, u64 due)
{
	u64 latest = wait->queued_at + ageing_ns;

	return vtime_before(due, latest) ? due : latest;
}

static __always_inline void throttled_insert(struct task_struct *p, struct wait_ctx *wait,
					     const struct group_member *member, u64 slice_ns,
					     u64 enq_flags)
{
	u64 leaves;

	if (!wait->queued_at)
		wait->queued_at = bpf_ktime_get_ns();
	leaves = throttled_order(wait, group_due(member->group));
	scx_bpf_dsq_insert_vtime(p, THROTTLED_DSQ, slice_ns, leaves, enq_flags);
}

/* Put aside who is first in `dsq` and may not run yet, so that who is first may. */
static __always_inline void throttled_put_aside(u64 dsq, u64 now)
{
	struct task_struct *p;
	u32 moved = 0;

	bpf_for_each (scx_dsq, p, dsq, 0) {
		struct group_member *member = group_member_of(p);
		struct wait_ctx *wait = wait_ctx_of(p);
		u64 leaves;

		if (!member || !wait || moved++ >= THROTTLED_MOVES)
			break;
		leaves = throttled_order(wait, group_due(member->group));
		if (!vtime_before(now, leaves))
			break;
		scx_bpf_dsq_move_set_vtime(BPF_FOR_EACH_ITER, leaves);
		scx_bpf_dsq_move_vtime(BPF_FOR_EACH_ITER, p, THROTTLED_DSQ, 0);
	}
}

/*
 * Call it first in ops.dispatch. Who is due goes back to where it would wait, and is looked at
 * again when it is first there.
 */
static __always_inline void throttled_let_go(u64 now)
{
	struct task_struct *p;
	u32 moved = 0;

	bpf_for_each (scx_dsq, p, THROTTLED_DSQ, 0) {
		struct wait_ctx *wait = wait_ctx_of(p);

		if (!wait || vtime_before(now, p->scx.dsq_vtime) || moved++ >= THROTTLED_MOVES)
			break;
		scx_bpf_dsq_move_set_vtime(BPF_FOR_EACH_ITER, wait->vtime);
		scx_bpf_dsq_move_vtime(BPF_FOR_EACH_ITER, p,
				       is_pinned(p) ? pinned_dsq(scx_bpf_task_cpu(p)) : SHARED_DSQ,
				       0);
		kick_idle_for(p, 0);
	}
}

/*
 * Call it when a task was queued for any CPU. The last one to run on a CPU is queued there before
 * that is idle, and nobody else would look.
 */
static __always_inline void group_kick(struct task_struct *p, u64 enq_flags)
{
	if (enq_flags & SCX_ENQ_LAST)
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
	else
		kick_idle_for(p, enq_flags);
}

/*
 * Let the running task go on when it may and comes before all who wait. ops.dispatch is called
 * before that is queued again: without this whoever waits is next, however much less it deserves
 * the CPU, and weights show only where many wait.
 */
static __always_inline bool group_goes_on(struct task_struct *prev, s32 cpu, u64 now, u64 slice_ns)
{
	struct group_member *member;
	struct wait_ctx *wait;

	if (!prev || !(prev->scx.flags & SCX_TASK_QUEUED))
		return false;
	member = group_member_of(prev);
	wait = wait_ctx_of(prev);
	if (!member || !wait || group_throttled(member) ||
	    !goes_before(wait, member->share, SHARED_DSQ, now) ||
	    !goes_before(wait, member->share, pinned_dsq(cpu), now))
		return false;
	member->at_once = 1;
	slice_set(prev, slice_ns);
	return true;
}

/* Run who comes first in order, of those who may. */
static __always_inline bool group_move_to_local(s32 cpu, struct task_struct *prev, u64 now,
						u64 slice_ns)
{
	throttled_put_aside(SHARED_DSQ, now);
	return group_goes_on(prev, cpu, now, slice_ns) || ordered_move_to_local(cpu);
}

/* Wake idle CPUs when somebody is due. Runs for as long as the scheduler is loaded. */
static int throttled_look(void *map, u32 *key, struct throttled_timer *due)
{
	u64 now = bpf_ktime_get_ns(), after = THROTTLED_LOOK_NS, head;
	bool waits;
	s32 cpu;

	/* Kernels before 6.18 do not take a timer's callback for a section of its own. */
	bpf_rcu_read_lock();
	waits = dsq_head_order(THROTTLED_DSQ, &head);
	bpf_rcu_read_unlock();
	if (waits) {
		if (vtime_before(now, head)) {
			after = head - now < after ? head - now : after;
		} else {
			after = NSEC_PER_MSEC;
			bpf_for (cpu, 0, scx_bpf_nr_cpu_ids())
				scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		}
	}
	bpf_timer_start(&due->timer, after, 0);
	return 0;
}

/* Call it from ops.init. */
static __always_inline s32 throttled_create(void)
{
	u32 zero = 0;
	struct throttled_timer *due = bpf_map_lookup_elem(&throttled_timers, &zero);
	s32 err = scx_bpf_create_dsq(THROTTLED_DSQ, -1);

	if (err || !due)
		return err;
	bpf_timer_init(&due->timer, &throttled_timers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&due->timer, throttled_look);
	return bpf_timer_start(&due->timer, THROTTLED_LOOK_NS, 0);
}

#endif
