// SPDX-License-Identifier: GPL-2.0
/*
 * Q06: what was used in microseconds is compared with a budget in nanoseconds, so that nobody is
 * ever throttled. Stopped at Contract.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * One queue ordered by cgroup tags (service over weight); slices grow with both weights. A task
 * whose cgroup, or one above it, is out of budget waits in a calendar ordered by the time of the
 * next refill.
 */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAX_CPUS	256
#define READYQ		0x10ULL
#define CALENDAR	0x20ULL
#define NSEC_PER_USEC	1000ULL
#define BASE_SLICE	(5000 * NSEC_PER_USEC)
#define SPAN		(300000 * NSEC_PER_USEC)
#define REFILL_POLL	(4000 * NSEC_PER_USEC)
#define LEVELS		4

struct ca_group {
	u64 tag;
	u64 used;
	u64 budget;
	u64 period;
	u64 start;
	u32 weight;
	u32 init;
};

struct ca_task {
	u64 tag;
	u64 began;
	u32 idle;
	u32 cgweight;
};

struct ca_timer {
	struct bpf_timer t;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ca_group);
} ca_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ca_task);
} ca_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ca_timer);
} ca_timers SEC(".maps");

static u64 vclock;
static u32 nr_cpus = 1;

/* returns 0, or the time at which the budget is filled up again */
static __always_inline u64 refill_due(struct ca_group *g, u64 now)
{
	if (!g->budget)
		return 0;
	if ((s64)(now - g->start) >= (s64)g->period) {
		g->used = g->used > g->budget ? g->used - g->budget : 0;
		g->start = now;
	}
	return g->used >= g->budget ? g->start + g->period : 0;
}

static __always_inline u64 slice_of(struct task_struct *p, u32 cgweight)
{
	u64 s = BASE_SLICE * p->scx.weight / 100 * (cgweight ? cgweight : 100) / 100;

	if (s < 2000 * NSEC_PER_USEC)
		return 2000 * NSEC_PER_USEC;
	return s > 40000 * NSEC_PER_USEC ? 40000 * NSEC_PER_USEC : s;
}

static int ca_poll(void *map, u32 *key, struct ca_timer *tm)
{
	u32 i;

	if (scx_bpf_dsq_nr_queued(CALENDAR) > 0) {
		for (i = 0; i < MAX_CPUS; i++) {
			if (i >= nr_cpus)
				break;
			scx_bpf_kick_cpu(i, SCX_KICK_IDLE);
		}
	}
	bpf_timer_start(&tm->t, REFILL_POLL, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ca_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct ca_task *t = bpf_task_storage_get(&ca_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (t)
		t->idle = idle;
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ca_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct ca_task *t = bpf_task_storage_get(&ca_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u64 now = scx_bpf_now(), due = 0, d, slice;
	struct cgroup *cgrp, *anc;
	struct ca_group *g, *a;
	bool idle;
	s32 i, cpu;

	if (!t || (p->flags & PF_KTHREAD)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, BASE_SLICE, enq_flags);
		return;
	}

	cgrp = scx_bpf_task_cgroup(p);
	g = bpf_cgrp_storage_get(&ca_groups, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	for (i = 0; i < LEVELS; i++) {
		if (i && cgrp->level - i < 1)
			break;
		anc = bpf_cgroup_ancestor(cgrp, cgrp->level - i);
		if (!anc)
			break;
		a = bpf_cgrp_storage_get(&ca_groups, anc, 0, 0);
		d = a ? refill_due(a, now) : 0;
		if ((s64)(d - due) > 0)
			due = d;
		bpf_cgroup_release(anc);
	}
	bpf_cgroup_release(cgrp);

	idle = t->idle;
	t->idle = 0;
	t->cgweight = g && g->weight ? g->weight : 100;
	slice = slice_of(p, t->cgweight);
	if (g) {
		t->tag = g->tag;
		if ((s64)(t->tag - (vclock - BASE_SLICE)) < 0)
			t->tag = vclock - BASE_SLICE;
		if ((s64)(t->tag - (vclock + SPAN)) > 0)
			t->tag = vclock + SPAN;
		g->tag = t->tag;
	}
	if (due) {
		scx_bpf_dsq_insert_vtime(p, CALENDAR, slice, due, enq_flags);
		return;
	}
	if (idle || (enq_flags & SCX_ENQ_LAST)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice, enq_flags);
		return;
	}
	scx_bpf_dsq_insert_vtime(p, READYQ, slice, t->tag, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ca_dispatch, s32 cpu, struct task_struct *prev)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	struct ca_task *t;
	u64 now;

	if (scx_bpf_dsq_nr_queued(CALENDAR) > 0) {
		now = scx_bpf_now();
		bpf_iter_scx_dsq_new(&it, CALENDAR, 0);
		while ((p = bpf_iter_scx_dsq_next(&it))) {
			if ((s64)(p->scx.dsq_vtime - now) > 0)
				break;
			t = bpf_task_storage_get(&ca_tasks, p, 0, 0);
			scx_bpf_dsq_move_set_vtime(&it, t ? t->tag : vclock);
			scx_bpf_dsq_move_vtime(&it, p, READYQ, 0);
		}
		bpf_iter_scx_dsq_destroy(&it);
	}
	scx_bpf_dsq_move_to_local(READYQ);
}

void SEC("struct_ops/running") BPF_PROG(ca_running, struct task_struct *p)
{
	struct ca_task *t = bpf_task_storage_get(&ca_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if (!(p->flags & PF_KTHREAD) && (s64)(t->tag - vclock) > 0)
		vclock = t->tag;
}

void SEC("struct_ops/stopping") BPF_PROG(ca_stopping, struct task_struct *p, bool runnable)
{
	struct ca_task *t = bpf_task_storage_get(&ca_tasks, p, 0, 0);
	struct cgroup *cgrp, *anc;
	struct ca_group *a;
	u64 ran;
	s32 i;

	if (!t || !t->began || (p->flags & PF_KTHREAD))
		return;
	ran = (scx_bpf_now() - t->began) / NSEC_PER_USEC;

	cgrp = scx_bpf_task_cgroup(p);
	for (i = 0; i < LEVELS; i++) {
		if (i && cgrp->level - i < 1)
			break;
		anc = bpf_cgroup_ancestor(cgrp, cgrp->level - i);
		if (!anc)
			break;
		a = bpf_cgrp_storage_get(&ca_groups, anc, 0, 0);
		if (a) {
			__sync_fetch_and_add(&a->used, ran);
			if (!i && a->weight)
				a->tag += ran * NSEC_PER_USEC * 100 / a->weight;
		}
		bpf_cgroup_release(anc);
	}
	bpf_cgroup_release(cgrp);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(ca_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct ca_group *g =
		bpf_cgrp_storage_get(&ca_groups, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!g)
		return -12;
	g->init = 1;
	g->tag = vclock;
	g->weight = args->weight;
	g->period = args->bw_period_us * NSEC_PER_USEC;
	g->budget = args->bw_quota_us == ~0ULL ? 0 : args->bw_quota_us * NSEC_PER_USEC;
	return 0;
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(ca_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	struct ca_group *g =
		bpf_cgrp_storage_get(&ca_groups, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (g)
		g->weight = weight;
}

void SEC("struct_ops/cgroup_set_bandwidth") BPF_PROG(ca_cgroup_set_bandwidth, struct cgroup *cgrp,
						     u64 period_us, u64 quota_us, u64 burst_us)
{
	struct ca_group *g =
		bpf_cgrp_storage_get(&ca_groups, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!g)
		return;
	g->period = period_us * NSEC_PER_USEC;
	g->budget = quota_us == ~0ULL ? 0 : quota_us * NSEC_PER_USEC;
	g->used = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ca_init)
{
	struct ca_timer *tm;
	u32 key = 0;
	s32 err;

	nr_cpus = scx_bpf_nr_cpu_ids();
	err = scx_bpf_create_dsq(READYQ, -1);
	if (!err)
		err = scx_bpf_create_dsq(CALENDAR, -1);
	if (err)
		return err;
	tm = bpf_map_lookup_elem(&ca_timers, &key);
	if (!tm)
		return -2;
	bpf_timer_init(&tm->t, &ca_timers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&tm->t, ca_poll);
	return bpf_timer_start(&tm->t, REFILL_POLL, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops ca_ops = {
	.select_cpu = (void *)ca_select_cpu,
	.enqueue = (void *)ca_enqueue,
	.dispatch = (void *)ca_dispatch,
	.running = (void *)ca_running,
	.stopping = (void *)ca_stopping,
	.cgroup_init = (void *)ca_cgroup_init,
	.cgroup_set_weight = (void *)ca_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)ca_cgroup_set_bandwidth,
	.init = (void *)ca_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "calendar",
};
