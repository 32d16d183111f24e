// SPDX-License-Identifier: GPL-2.0
/*
 * Q05: what is charged is divided by the weight, and what is compared is multiplied by it again.
 * Stopped at Contract.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Every cgroup has its own FIFO, named after the cgroup's id. Dispatch takes from the cgroup that
 * has had the least for its weight; lag and debt are bounded in wall time. Nice sets the length of
 * the slice.
 */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAX_CPUS	256
#define SLICE_NS	5000000ULL
#define LAG_NS		20000000ULL
#define DEBT_NS		200000000ULL
#define POLL_NS		5000000ULL
#define RECENT_NS	2000000000ULL
#define NO_QUOTA	(~0ULL)

struct wr_group {
	u64 vt;
	u64 used, quota, period, since;
	u64 parent;
	u64 weight;
};

struct wr_task {
	u64 cgid;
	u64 began;
};

struct wr_best {
	u64 now, cgid, rank, tried;
	u32 found, spare;
};

struct wr_poll {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct wr_group);
} wr_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct wr_task);
} wr_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct wr_poll);
} wr_polls SEC(".maps");

static u64 wall_clock;
static u64 last_blocked;
static u32 nr_cpus = 1;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = SLICE_NS * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 20000000 ? 20000000 : s;
}

/* virtual time of a group as wall time, in which lag, debt and the clock are kept */
static __always_inline u64 wall(struct wr_group *g)
{
	return g->vt * g->weight / 100;
}

static __always_inline void set_wall(struct wr_group *g, u64 w)
{
	if (g->weight)
		g->vt = w * 100 / g->weight;
}

static __always_inline bool out_of_quota(struct wr_group *g, u64 now)
{
	if (!g->quota)
		return false;
	if ((s64)(now - g->since) >= (s64)g->period) {
		g->used = g->used > g->quota ? g->used - g->quota : 0;
		if (g->used > 8 * g->quota)
			g->used = 8 * g->quota;
		g->since = now;
	}
	return g->used >= g->quota;
}

static __always_inline bool blocked(struct wr_group *g, u64 now)
{
	struct wr_group *up = bpf_map_lookup_elem(&wr_groups, &g->parent);

	if (!out_of_quota(g, now) && !(up && out_of_quota(up, now)))
		return false;
	last_blocked = now;
	return true;
}

static __always_inline void charge(struct wr_task *t, u64 now)
{
	struct wr_group *g, *up;
	u64 ran = now - t->began;

	if (!t->began || (s64)ran <= 0)
		return;
	t->began = now;
	g = bpf_map_lookup_elem(&wr_groups, &t->cgid);
	if (!g)
		return;
	if (g->weight)
		g->vt += ran * 100 / g->weight;
	__sync_fetch_and_add(&g->used, ran);
	if ((s64)(wall(g) - (wall_clock + DEBT_NS)) > 0)
		set_wall(g, wall_clock + DEBT_NS);
	up = bpf_map_lookup_elem(&wr_groups, &g->parent);
	if (up)
		__sync_fetch_and_add(&up->used, ran);
}

static long wr_compare(void *map, u64 *key, struct wr_group *g, struct wr_best *b)
{
	u64 cgid = *key, rank;

	if (cgid == b->tried || scx_bpf_dsq_nr_queued(cgid) <= 0 || blocked(g, b->now))
		return 0;
	rank = wall(g);
	if (!b->found || (s64)(rank - b->rank) < 0) {
		b->cgid = cgid;
		b->rank = rank;
		b->found = 1;
	}
	return 0;
}

static int wr_poll_fn(void *map, u32 *key, struct wr_poll *po)
{
	u32 i;

	for (i = 0; last_blocked && i < MAX_CPUS; i++) {
		if (i >= nr_cpus || scx_bpf_now() - last_blocked > RECENT_NS)
			break;
		scx_bpf_kick_cpu(i, SCX_KICK_IDLE);
	}
	bpf_timer_start(&po->timer, POLL_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(wr_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct wr_task *t = bpf_task_storage_get(&wr_tasks, p, 0, 0);
	struct wr_group *g = t ? bpf_map_lookup_elem(&wr_groups, &t->cgid) : 0;
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle && g && !blocked(g, scx_bpf_now()))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(wr_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wr_task *t = bpf_task_storage_get(&wr_tasks, p, 0, 0);
	struct wr_group *g = t ? bpf_map_lookup_elem(&wr_groups, &t->cgid) : 0;
	s32 cpu;

	if (!t || !g || (p->flags & PF_KTHREAD) ||
	    ((enq_flags & SCX_ENQ_LAST) && !blocked(g, scx_bpf_now()))) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if ((s64)(wall(g) - (wall_clock - LAG_NS)) < 0)
		set_wall(g, wall_clock - LAG_NS);
	scx_bpf_dsq_insert(p, t->cgid, slice_of(p), enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(wr_dispatch, s32 cpu, struct task_struct *prev)
{
	struct wr_best b = {.now = scx_bpf_now()};
	struct wr_group *mine = 0;
	struct wr_task *t;
	u64 my_id = 0;
	u32 i;

	if (prev && (prev->scx.flags & SCX_TASK_QUEUED) && !(prev->flags & PF_KTHREAD)) {
		t = bpf_task_storage_get(&wr_tasks, prev, 0, 0);
		if (t) {
			charge(t, b.now);
			my_id = t->cgid;
			mine = bpf_map_lookup_elem(&wr_groups, &my_id);
		}
	}
	for (i = 0; i < 3; i++) {
		b.found = 0;
		b.rank = 0;
		bpf_for_each_map_elem(&wr_groups, wr_compare, &b, 0);
		if (!b.found)
			return;
		if (!i && prev && mine && (s64)(wall(mine) - b.rank) < 0 &&
		    scx_bpf_dsq_nr_queued(my_id) <= 0 && !blocked(mine, b.now)) {
			scx_bpf_task_set_slice(prev, slice_of(prev));
			return;
		}
		if ((s64)(b.rank - wall_clock) > 0)
			wall_clock = b.rank;
		if (scx_bpf_dsq_move_to_local(b.cgid))
			return;
		b.tried = b.cgid;
	}
}

void SEC("struct_ops/running") BPF_PROG(wr_running, struct task_struct *p)
{
	struct wr_task *t = bpf_task_storage_get(&wr_tasks, p, 0, 0);

	if (t)
		t->began = scx_bpf_now();
}

void SEC("struct_ops/stopping") BPF_PROG(wr_stopping, struct task_struct *p, bool runnable)
{
	struct wr_task *t = bpf_task_storage_get(&wr_tasks, p, 0, 0);

	if (t && !(p->flags & PF_KTHREAD))
		charge(t, scx_bpf_now());
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(wr_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct wr_task *t = bpf_task_storage_get(&wr_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->cgid = args->cgroup->kn->id;
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(wr_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct wr_task *t = bpf_task_storage_get(&wr_tasks, p, 0, 0);

	if (t)
		t->cgid = to->kn->id;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(wr_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u64 cgid = cgrp->kn->id;
	struct wr_group g = {
		.weight = args->weight ? args->weight : 100,
		.period = args->bw_period_us * 1000,
	};
	struct cgroup *up;
	s32 err;

	if (cgrp->level > 0) {
		up = bpf_cgroup_ancestor(cgrp, cgrp->level - 1);
		if (up) {
			g.parent = up->kn->id;
			bpf_cgroup_release(up);
		}
	}
	if (args->bw_quota_us != NO_QUOTA)
		g.quota = args->bw_quota_us * 1000;
	set_wall(&g, wall_clock);

	err = scx_bpf_create_dsq(cgid, -1);
	if (err)
		return err;
	bpf_map_update_elem(&wr_groups, &cgid, &g, BPF_ANY);
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(wr_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;

	bpf_map_delete_elem(&wr_groups, &cgid);
	scx_bpf_destroy_dsq(cgid);
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(wr_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	u64 w, cgid = cgrp->kn->id;
	struct wr_group *g = bpf_map_lookup_elem(&wr_groups, &cgid);

	if (!g || !weight)
		return;
	w = wall(g);
	g->weight = weight;
	set_wall(g, w);
}

void SEC("struct_ops/cgroup_set_bandwidth") BPF_PROG(wr_cgroup_set_bandwidth, struct cgroup *cgrp,
						     u64 period_us, u64 quota_us, u64 burst_us)
{
	u64 cgid = cgrp->kn->id;
	struct wr_group *g = bpf_map_lookup_elem(&wr_groups, &cgid);

	if (!g)
		return;
	g->period = period_us * 1000;
	g->quota = quota_us == NO_QUOTA ? 0 : quota_us * 1000;
	g->used = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(wr_init)
{
	struct wr_poll *po;
	u32 key = 0;

	nr_cpus = scx_bpf_nr_cpu_ids();
	po = bpf_map_lookup_elem(&wr_polls, &key);
	if (!po)
		return -2;
	bpf_timer_init(&po->timer, &wr_polls, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&po->timer, wr_poll_fn);
	return bpf_timer_start(&po->timer, POLL_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops wr_ops = {
	.select_cpu = (void *)wr_select_cpu,
	.enqueue = (void *)wr_enqueue,
	.dispatch = (void *)wr_dispatch,
	.running = (void *)wr_running,
	.stopping = (void *)wr_stopping,
	.init_task = (void *)wr_init_task,
	.cgroup_init = (void *)wr_cgroup_init,
	.cgroup_exit = (void *)wr_cgroup_exit,
	.cgroup_move = (void *)wr_cgroup_move,
	.cgroup_set_weight = (void *)wr_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)wr_cgroup_set_bandwidth,
	.init = (void *)wr_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "wall_rank",
};
