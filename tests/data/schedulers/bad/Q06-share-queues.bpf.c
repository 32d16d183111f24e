// SPDX-License-Identifier: GPL-2.0
/*
 * Q06: the budget is looked at in enqueue only, so that whoever is alone on its CPU is never
 * limited. Stopped at Contract.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * A virtual time queue on each CPU, with stealing. A task's weight is its nice weight times its
 * cgroup's share per runnable task. Tasks of a cgroup that has spent its quota wait in a queue of
 * their own, ordered by the start of the next period.
 */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAX_CPUS	128
#define HOLDQ		0x800ULL
#define FREEQ		0x801ULL
#define SLICE_NS	5000000ULL
#define DEBT_NS		150000000ULL
#define CHECK_NS	5000000ULL

struct sq_group {
	u64 used, quota, period, start;
	u64 runnable;
	u32 weight, spare;
};

struct sq_task {
	u64 cgid;
	u64 vt;
	u64 began;
};

struct sq_check {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct sq_group);
} sq_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sq_task);
} sq_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, u64);
} sq_clocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sq_check);
} sq_checks SEC(".maps");

static u32 nr_cpus = 1;

static __always_inline struct sq_group *group_of(struct sq_task *t)
{
	return bpf_map_lookup_elem(&sq_groups, &t->cgid);
}

/* nice weight, scaled by what the cgroup has for each of its runnable tasks */
static __always_inline u64 weight_of(struct task_struct *p, struct sq_group *g)
{
	u64 w = p->scx.weight, n = 1;

	if (g) {
		n = (s64)g->runnable > 0 ? g->runnable : 1;
		w = w * g->weight / 100 / n;
	}
	return w ? w : 1;
}

static __always_inline u64 slice_of(u64 weight)
{
	u64 s = SLICE_NS * weight / 100;

	return s < 2000000 ? 2000000 : s > 40000000 ? 40000000 : s;
}

/* 0 if the group may run, else the time from which it may */
static __always_inline u64 wait_until(struct sq_group *g, u64 now)
{
	if (!g || !g->quota)
		return 0;
	if ((s64)(now - g->start) >= (s64)g->period) {
		g->used = g->used > g->quota ? g->used - g->quota : 0;
		if (g->used > g->quota)
			g->used = g->quota;
		g->start = now;
	}
	return g->used >= g->quota ? g->start + g->period : 0;
}

static int sq_check_fn(void *map, u32 *key, struct sq_check *ck)
{
	u32 i;

	if (scx_bpf_dsq_nr_queued(HOLDQ) > 0) {
		for (i = 0; i < MAX_CPUS; i++) {
			if (i >= nr_cpus)
				break;
			scx_bpf_kick_cpu(i, SCX_KICK_IDLE);
		}
	}
	bpf_timer_start(&ck->timer, CHECK_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sq_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct sq_task *t = bpf_task_storage_get(&sq_tasks, p, 0, 0);
	struct sq_group *g = t ? group_of(t) : 0;
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle && !wait_until(g, scx_bpf_now()))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(weight_of(p, g)), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sq_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct sq_task *t = bpf_task_storage_get(&sq_tasks, p, 0, 0);
	u32 cpu = (u32)scx_bpf_task_cpu(p) % nr_cpus;
	u64 *clock = bpf_map_lookup_elem(&sq_clocks, &cpu);
	struct sq_group *g;
	u64 slice, due;
	s32 idle;

	if (!t || !clock || (p->flags & PF_KTHREAD)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE_NS, enq_flags);
		return;
	}
	g = group_of(t);
	slice = slice_of(weight_of(p, g));
	due = wait_until(g, scx_bpf_now());
	if (due) {
		scx_bpf_dsq_insert_vtime(p, HOLDQ, slice, due, enq_flags);
		return;
	}
	if ((s64)(t->vt - (*clock - SLICE_NS)) < 0)
		t->vt = *clock - SLICE_NS;
	if ((s64)(t->vt - (*clock + DEBT_NS)) > 0)
		t->vt = *clock + DEBT_NS;
	scx_bpf_dsq_insert_vtime(p, cpu, slice, t->vt, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

/* hand back the tasks whose period has come */
static __always_inline void release_due(void)
{
	u64 now = scx_bpf_now();
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;

	bpf_iter_scx_dsq_new(&it, HOLDQ, 0);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		if ((s64)(p->scx.dsq_vtime - now) > 0)
			break;
		scx_bpf_dsq_move(&it, p, FREEQ, 0);
	}
	bpf_iter_scx_dsq_destroy(&it);
}

void SEC("struct_ops/dispatch") BPF_PROG(sq_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i, own = (u32)cpu % nr_cpus;

	if (scx_bpf_dsq_nr_queued(HOLDQ) > 0)
		release_due();
	if (scx_bpf_dsq_move_to_local(FREEQ))
		return;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		if (scx_bpf_dsq_move_to_local((own + i) % nr_cpus))
			return;
	}
}

void SEC("struct_ops/runnable") BPF_PROG(sq_runnable, struct task_struct *p, u64 enq_flags)
{
	struct sq_task *t = bpf_task_storage_get(&sq_tasks, p, 0, 0);
	struct sq_group *g = t ? group_of(t) : 0;

	if (g)
		__sync_fetch_and_add(&g->runnable, 1);
}

void SEC("struct_ops/quiescent") BPF_PROG(sq_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct sq_task *t = bpf_task_storage_get(&sq_tasks, p, 0, 0);
	struct sq_group *g = t ? group_of(t) : 0;

	if (g)
		__sync_fetch_and_add(&g->runnable, -1);
}

void SEC("struct_ops/running") BPF_PROG(sq_running, struct task_struct *p)
{
	struct sq_task *t = bpf_task_storage_get(&sq_tasks, p, 0, 0);
	u32 cpu = (u32)scx_bpf_task_cpu(p);
	u64 *clock = bpf_map_lookup_elem(&sq_clocks, &cpu);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if (clock && !(p->flags & PF_KTHREAD) && (s64)(t->vt - *clock) > 0 &&
	    (s64)(t->vt - *clock) < (s64)DEBT_NS)
		*clock = t->vt;
}

void SEC("struct_ops/stopping") BPF_PROG(sq_stopping, struct task_struct *p, bool runnable)
{
	struct sq_task *t = bpf_task_storage_get(&sq_tasks, p, 0, 0);
	struct sq_group *g;
	u64 ran;

	if (!t || !t->began || (p->flags & PF_KTHREAD))
		return;
	ran = scx_bpf_now() - t->began;
	g = group_of(t);
	t->vt += ran * 100 / weight_of(p, g);
	if (g)
		__sync_fetch_and_add(&g->used, ran);
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(sq_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct sq_task *t = bpf_task_storage_get(&sq_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->cgid = args->cgroup->kn->id;
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(sq_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct sq_task *t = bpf_task_storage_get(&sq_tasks, p, 0, 0);

	if (t)
		t->cgid = to->kn->id;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(sq_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u64 cgid = cgrp->kn->id;
	struct sq_group g = {
		.weight = args->weight ? args->weight : 100,
		.period = args->bw_period_us * 1000,
	};

	if (args->bw_quota_us != ~0ULL)
		g.quota = args->bw_quota_us * 1000;
	bpf_map_update_elem(&sq_groups, &cgid, &g, BPF_ANY);
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(sq_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;

	bpf_map_delete_elem(&sq_groups, &cgid);
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(sq_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	u64 cgid = cgrp->kn->id;
	struct sq_group *g = bpf_map_lookup_elem(&sq_groups, &cgid);

	if (g)
		g->weight = weight;
}

void SEC("struct_ops/cgroup_set_bandwidth") BPF_PROG(sq_cgroup_set_bandwidth, struct cgroup *cgrp,
						     u64 period_us, u64 quota_us, u64 burst_us)
{
	u64 cgid = cgrp->kn->id;
	struct sq_group *g = bpf_map_lookup_elem(&sq_groups, &cgid);

	if (!g)
		return;
	g->period = period_us * 1000;
	g->quota = quota_us == ~0ULL ? 0 : quota_us * 1000;
	g->used = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(sq_init)
{
	u32 i, key = 0, nr = scx_bpf_nr_cpu_ids();
	struct sq_check *ck;
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(i, -1);
		if (err)
			return err;
	}
	err = scx_bpf_create_dsq(HOLDQ, -1);
	if (!err)
		err = scx_bpf_create_dsq(FREEQ, -1);
	if (err)
		return err;
	nr_cpus = nr;

	ck = bpf_map_lookup_elem(&sq_checks, &key);
	if (!ck)
		return -2;
	bpf_timer_init(&ck->timer, &sq_checks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&ck->timer, sq_check_fn);
	return bpf_timer_start(&ck->timer, CHECK_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops sq_ops = {
	.select_cpu = (void *)sq_select_cpu,
	.enqueue = (void *)sq_enqueue,
	.dispatch = (void *)sq_dispatch,
	.runnable = (void *)sq_runnable,
	.quiescent = (void *)sq_quiescent,
	.running = (void *)sq_running,
	.stopping = (void *)sq_stopping,
	.init_task = (void *)sq_init_task,
	.cgroup_init = (void *)sq_cgroup_init,
	.cgroup_exit = (void *)sq_cgroup_exit,
	.cgroup_move = (void *)sq_cgroup_move,
	.cgroup_set_weight = (void *)sq_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)sq_cgroup_set_bandwidth,
	.init = (void *)sq_init,
	.name = "share_queues",
};
