// SPDX-License-Identifier: GPL-2.0
/*
 * FIFO with cpu.max: limited cgroups have a token bucket that is refilled every period (debt and
 * burst bounded); their tasks wait in a held queue that a timer empties as tokens come, and after
 * 1.5 s in any case.
 */
/*
 * Only cgroups with a limit have an entry in qg_buckets; everything else goes
 * straight to the run queue. A full table means "no limit".
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

#define QG_RUN	      1
#define QG_HELD	      2
#define QG_LEVELS     12
#define QG_CHECK_NS   8000000ULL
#define QG_PF_KTHREAD 0x00200000

const volatile u64 qg_slice_ns = 3500000ULL;
const volatile u64 qg_hold_max_ns = 1500000000ULL;

struct qg_bucket {
	u64 quota;  /* ns per period */
	u64 period; /* ns */
	u64 burst;  /* ns */
	u64 filled_at;
	s64 left;
};

struct qg_task {
	u64 gate; /* id of the cgroup that holds the task */
	u64 held_at;
	u64 exec_mark;
	u64 prepaid; /* taken from the gate when the task was let out */
};

struct qg_clock {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct qg_bucket);
} qg_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct qg_task);
} qg_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct qg_clock);
} qg_clocks SEC(".maps");

static __always_inline void qg_fill(struct qg_bucket *b, u64 now)
{
	u64 passed = now - b->filled_at;
	u64 periods;
	s64 left, most, least;

	if ((s64)passed < 0 || !b->period || passed < b->period)
		return;

	periods = passed / b->period;
	b->filled_at += periods * b->period;
	if (periods > 16)
		periods = 16;

	most = (s64)(b->quota + b->burst);
	least = -(s64)(b->quota * 4);
	left = b->left;
	if (left < least)
		left = least;
	left += (s64)(periods * b->quota);
	if (left > most)
		left = most;
	b->left = left;
}

/* the id of the nearest limiting cgroup without tokens, 0 if there is none */
static __always_inline u64 qg_gate(struct task_struct *p, u64 now)
{
	struct cgroup *cgrp, *anc;
	struct qg_bucket *b;
	u64 gate = 0, id;
	int level;

	cgrp = scx_bpf_task_cgroup(p);
	for (level = 1; level < QG_LEVELS; level++) {
		anc = bpf_cgroup_ancestor(cgrp, level);
		if (!anc)
			break;
		id = anc->kn->id;
		bpf_cgroup_release(anc);

		b = bpf_map_lookup_elem(&qg_buckets, &id);
		if (!b)
			continue;
		qg_fill(b, now);
		if (b->left <= 0)
			gate = id;
	}
	bpf_cgroup_release(cgrp);
	return gate;
}

static __always_inline void qg_charge(struct task_struct *p, u64 used)
{
	struct cgroup *cgrp, *anc;
	struct qg_bucket *b;
	int level;
	u64 id;

	cgrp = scx_bpf_task_cgroup(p);
	for (level = 1; level < QG_LEVELS; level++) {
		anc = bpf_cgroup_ancestor(cgrp, level);
		if (!anc)
			break;
		id = anc->kn->id;
		bpf_cgroup_release(anc);

		b = bpf_map_lookup_elem(&qg_buckets, &id);
		if (b)
			__sync_fetch_and_add(&b->left, -(s64)used);
	}
	bpf_cgroup_release(cgrp);
}

static __always_inline void qg_set(u64 id, u64 period_us, u64 quota_us, u64 burst_us)
{
	struct qg_bucket b = {};

	/* "max" is an enormous number here */
	if (!period_us || !quota_us || quota_us >= (1ULL << 40)) {
		bpf_map_delete_elem(&qg_buckets, &id);
		return;
	}
	if (period_us > 1000000)
		period_us = 1000000;
	if (burst_us > quota_us)
		burst_us = quota_us;

	b.period = period_us * 1000;
	b.quota = quota_us * 1000;
	b.burst = burst_us * 1000;
	b.left = (s64)b.quota;
	b.filled_at = scx_bpf_now();
	bpf_map_update_elem(&qg_buckets, &id, &b, BPF_ANY);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(qg_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;

	/* whether it may run at once is for enqueue to say */
	return scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
}

void SEC("struct_ops/enqueue") BPF_PROG(qg_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct qg_task *t = bpf_task_storage_get(&qg_tasks, p, 0, 0);
	u64 now = scx_bpf_now();
	s32 cpu;

	if (t && !(p->flags & QG_PF_KTHREAD)) {
		u64 gate = qg_gate(p, now);

		if (gate) {
			t->gate = gate;
			/* also if it is requeued while it is held */
			if (!t->held_at)
				t->held_at = now;
			scx_bpf_dsq_insert(p, QG_HELD, qg_slice_ns, enq_flags);
			return;
		}
	}

	if (enq_flags & SCX_ENQ_LAST) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, qg_slice_ns, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, QG_RUN, qg_slice_ns, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(qg_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QG_RUN);
}

void SEC("struct_ops/running") BPF_PROG(qg_running, struct task_struct *p)
{
	struct qg_task *t = bpf_task_storage_get(&qg_tasks, p, 0, 0);

	if (t) {
		t->exec_mark = p->se.sum_exec_runtime;
		t->held_at = 0;
	}
}

void SEC("struct_ops/stopping") BPF_PROG(qg_stopping, struct task_struct *p, bool runnable)
{
	struct qg_task *t = bpf_task_storage_get(&qg_tasks, p, 0, 0);

	if (!t)
		return;
	qg_charge(p, p->se.sum_exec_runtime - t->exec_mark);
	t->exec_mark = p->se.sum_exec_runtime;

	if (t->prepaid) {
		u64 id = t->gate;
		struct qg_bucket *b = bpf_map_lookup_elem(&qg_buckets, &id);

		if (b)
			__sync_fetch_and_add(&b->left, (s64)t->prepaid);
		t->prepaid = 0;
	}
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(qg_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct qg_task *t;

	t = bpf_task_storage_get(&qg_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (t)
		t->exec_mark = p->se.sum_exec_runtime;
	return 0;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(qg_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	qg_set(cgrp->kn->id, args->bw_period_us, args->bw_quota_us, args->bw_burst_us);
	return 0;
}

void SEC("struct_ops/cgroup_set_bandwidth") BPF_PROG(qg_cgroup_set_bandwidth, struct cgroup *cgrp,
						     u64 period_us, u64 quota_us, u64 burst_us)
{
	qg_set(cgrp->kn->id, period_us, quota_us, burst_us);
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(qg_cgroup_exit, struct cgroup *cgrp)
{
	u64 id = cgrp->kn->id;

	bpf_map_delete_elem(&qg_buckets, &id);
}

/* the bucket of the gate has something to give, or the task waited too long */
static __always_inline bool qg_may_leave(struct qg_task *t, u64 now)
{
	struct qg_bucket *b;
	u64 id;

	if ((s64)(now - t->held_at) > (s64)qg_hold_max_ns)
		return true;
	id = t->gate;
	b = bpf_map_lookup_elem(&qg_buckets, &id);
	if (!b)
		return true;
	qg_fill(b, now);
	if (b->left <= 0)
		return false;

	/* the slice is paid now and settled when it has been used */
	if (!t->prepaid) {
		t->prepaid = qg_slice_ns;
		__sync_fetch_and_add(&b->left, -(s64)qg_slice_ns);
	}
	return true;
}

static int qg_check(void *map, int *key, struct qg_clock *clk)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	u64 now = scx_bpf_now();

	bpf_rcu_read_lock();
	bpf_iter_scx_dsq_new(&it, QG_HELD, 0);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		struct qg_task *t = bpf_task_storage_get(&qg_tasks, p, 0, 0);
		s32 cpu;

		if (t && !qg_may_leave(t, now))
			continue;
		if (!scx_bpf_dsq_move(&it, p, QG_RUN, 0))
			continue;
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		if (cpu >= 0)
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}
	bpf_iter_scx_dsq_destroy(&it);
	bpf_rcu_read_unlock();

	bpf_timer_start(&clk->timer, QG_CHECK_NS, 0);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(qg_init)
{
	struct qg_clock *clk;
	u32 zero = 0;
	s32 err;

	err = scx_bpf_create_dsq(QG_RUN, -1);
	if (err)
		return err;
	err = scx_bpf_create_dsq(QG_HELD, -1);
	if (err)
		return err;

	clk = bpf_map_lookup_elem(&qg_clocks, &zero);
	if (!clk)
		return -2;
	bpf_timer_init(&clk->timer, &qg_clocks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&clk->timer, qg_check);
	return bpf_timer_start(&clk->timer, QG_CHECK_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops qg_ops = {
	.select_cpu = (void *)qg_select_cpu,
	.enqueue = (void *)qg_enqueue,
	.dispatch = (void *)qg_dispatch,
	.running = (void *)qg_running,
	.stopping = (void *)qg_stopping,
	.init_task = (void *)qg_init_task,
	.cgroup_init = (void *)qg_cgroup_init,
	.cgroup_exit = (void *)qg_cgroup_exit,
	.cgroup_set_bandwidth = (void *)qg_cgroup_set_bandwidth,
	.init = (void *)qg_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "quota_gate",
};
