// SPDX-License-Identifier: GPL-2.0
/*
 * T10: bound tasks are not parked but charged, so that their group's debt has no bound. Stopped at
 * Bytecode or Dynamic.
 */
/*
 * allowance: one shared FIFO, plus a parking queue for each group with a bandwidth limit, emptied
 * while the group has allowance left.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define AL_QUEUE      0x17ULL
#define AL_PARK	      (1ULL << 40)
#define AL_TICK	      (10ULL * 1000 * 1000)
#define AL_SLICE      (5ULL * 1000 * 1000)
#define AL_CLOCK_MONO 1

struct al_group {
	s64 left;     /* ns of CPU time */
	u64 quota_us; /* 0: unlimited */
	u64 period_us;
};

struct al_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct al_group);
} al_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct al_timer);
} al_timers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} al_since SEC(".maps");

static u32 al_limited, al_next_cpu, al_nr_cpus;

static __always_inline struct al_group *al_group_of(struct task_struct *p, u64 *id)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	u64 cgid = cgrp->kn->id;

	bpf_cgroup_release(cgrp);
	*id = cgid;
	return bpf_map_lookup_elem(&al_groups, &cgid);
}

void SEC("struct_ops/enqueue") BPF_PROG(al_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct al_group *g;
	u64 cgid = 0;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, AL_SLICE, enq_flags);
		return;
	}

	g = al_group_of(p, &cgid);
	if (g && g->quota_us && g->left <= 0) {
		scx_bpf_dsq_insert(p, AL_PARK | cgid, AL_SLICE, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, AL_QUEUE, AL_SLICE, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static long al_release(void *map, u64 *cgid, struct al_group *g, u32 *moved)
{
	if (g->quota_us && g->left <= 0)
		return 0;
	if (scx_bpf_dsq_nr_queued(AL_PARK | *cgid) <= 0)
		return 0;
	if (!scx_bpf_dsq_move_to_local(AL_PARK | *cgid))
		return 0;
	*moved = 1;
	return 1;
}

void SEC("struct_ops/dispatch") BPF_PROG(al_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 moved = 0;

	/* released tasks have waited longest */
	if (al_limited)
		bpf_for_each_map_elem(&al_groups, al_release, &moved, 0);
	if (!moved)
		scx_bpf_dsq_move_to_local(AL_QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(al_running, struct task_struct *p)
{
	u64 *since = bpf_task_storage_get(&al_since, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (since)
		*since = bpf_ktime_get_ns();
}

void SEC("struct_ops/stopping") BPF_PROG(al_stopping, struct task_struct *p, bool runnable)
{
	u64 *since = bpf_task_storage_get(&al_since, p, 0, 0);
	struct al_group *g;
	u64 cgid = 0;

	if (!since || !al_limited)
		return;
	g = al_group_of(p, &cgid);
	if (g && g->quota_us)
		__sync_fetch_and_sub(&g->left, (s64)(bpf_ktime_get_ns() - *since));
}

static long al_refill(void *map, u64 *cgid, struct al_group *g, void *ctx)
{
	u64 add, cap;

	if (!g->quota_us || !g->period_us)
		return 0;
	add = g->quota_us * (AL_TICK / 1000) / g->period_us * 1000;
	cap = g->quota_us * 1000;
	__sync_fetch_and_add(&g->left, (s64)add);
	if (g->left > (s64)cap)
		g->left = (s64)cap;
	return 0;
}

static int al_timer_fn(void *map, int *key, struct al_timer *t)
{
	if (al_limited) {
		bpf_for_each_map_elem(&al_groups, al_refill, 0, 0);
		/* someone idle may have a parked task to fetch */
		al_next_cpu++;
		if (al_next_cpu >= al_nr_cpus)
			al_next_cpu = 0;
		scx_bpf_kick_cpu(al_next_cpu, SCX_KICK_IDLE);
	}
	bpf_timer_start(&t->timer, AL_TICK, 0);
	return 0;
}

static __always_inline void al_set_limit(struct al_group *g, u64 period_us, u64 quota_us)
{
	/* "max" arrives as a number beyond any real quota */
	g->quota_us = quota_us < (1ULL << 40) ? quota_us : 0;
	g->period_us = period_us;
	g->left = (s64)(g->quota_us * 1000);
	if (g->quota_us)
		al_limited = 1;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(al_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct al_group g = {};
	u64 cgid = cgrp->kn->id;
	s32 ret = scx_bpf_create_dsq(AL_PARK | cgid, -1);

	if (ret)
		return ret;
	al_set_limit(&g, args->bw_period_us, args->bw_quota_us);
	bpf_map_update_elem(&al_groups, &cgid, &g, BPF_ANY);
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(al_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;

	bpf_map_delete_elem(&al_groups, &cgid);
	scx_bpf_destroy_dsq(AL_PARK | cgid);
}

void SEC("struct_ops/cgroup_set_bandwidth")
	BPF_PROG(al_set_bandwidth, struct cgroup *cgrp, u64 period_us, u64 quota_us, u64 burst_us)
{
	u64 cgid = cgrp->kn->id;
	struct al_group *g = bpf_map_lookup_elem(&al_groups, &cgid);

	if (g)
		al_set_limit(g, period_us, quota_us);
}

s32 SEC("struct_ops.s/init") BPF_PROG(al_init)
{
	s32 ret = scx_bpf_create_dsq(AL_QUEUE, -1);
	struct al_timer *t;
	u32 zero = 0;

	al_nr_cpus = scx_bpf_nr_cpu_ids();
	t = bpf_map_lookup_elem(&al_timers, &zero);
	if (ret || !t)
		return ret ? ret : -2;
	bpf_timer_init(&t->timer, &al_timers, AL_CLOCK_MONO);
	bpf_timer_set_callback(&t->timer, al_timer_fn);
	return bpf_timer_start(&t->timer, AL_TICK, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops allowance_ops = {
	.enqueue = (void *)al_enqueue,
	.dispatch = (void *)al_dispatch,
	.running = (void *)al_running,
	.stopping = (void *)al_stopping,
	.cgroup_init = (void *)al_cgroup_init,
	.cgroup_exit = (void *)al_cgroup_exit,
	.cgroup_set_bandwidth = (void *)al_set_bandwidth,
	.init = (void *)al_init,
	.name = "allowance",
};
