// SPDX-License-Identifier: GPL-2.0
/*
 * Q05: weight by total in whole numbers is nothing, so that all quanta are equal. Stopped at
 * Contract.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Weighted round robin over cgroups, on each CPU by itself: a cgroup keeps the CPU until its
 * quantum of the round is used up, then the next one with waiting tasks has its turn. Nice sets the
 * length of the slices within the cgroup. Limits apply to the cgroup and to its ancestors.
 */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAX_GROUPS	48
#define MAX_CPUS	256
#define LEVELS		4
#define QUEUE(s)	(0x200ULL + (s))
#define ROUND_NS	60000000ULL
#define SLICE_NS	6000000ULL
#define TICK_NS		5000000ULL
#define INF		(~0ULL)

struct rqn_group {
	u64 cgid;
	u64 used, quota, period, since;
	u32 weight, parent;
};

struct rqn_cpu {
	u64 left;
	u32 slot;
};

struct rqn_task {
	u64 began;
	u32 slot, spare;
};

struct rqn_clock {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_GROUPS);
	__type(key, u32);
	__type(value, struct rqn_group);
} rqn_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, u32);
} rqn_index SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rqn_cpu);
} rqn_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rqn_task);
} rqn_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct rqn_clock);
} rqn_clocks SEC(".maps");

static u64 total_weight;
static u32 nr_cpus = 1;

static __always_inline struct rqn_group *group_at(u32 slot)
{
	u32 k = slot;

	return bpf_map_lookup_elem(&rqn_groups, &k);
}

static __always_inline u32 index_of(u64 cgid)
{
	u32 *s = bpf_map_lookup_elem(&rqn_index, &cgid);

	return s && *s < MAX_GROUPS ? *s : 0;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = SLICE_NS * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 24000000 ? 24000000 : s;
}

static __always_inline u64 quantum_of(struct rqn_group *g)
{
	u64 sum = total_weight ? total_weight : 100;
	u64 q = g->weight / sum * ROUND_NS;

	return q < SLICE_NS ? SLICE_NS : q;
}

static __always_inline bool exhausted(u32 slot, u64 now)
{
	struct rqn_group *g;
	u32 i;

	for (i = 0; i < LEVELS; i++) {
		g = group_at(slot);
		if (!g)
			break;
		if (g->quota) {
			if ((s64)(now - g->since) >= (s64)g->period) {
				g->used = g->used > g->quota ? g->used - g->quota : 0;
				if (g->used > 8 * g->quota)
					g->used = 8 * g->quota;
				g->since = now;
			}
			if (g->used >= g->quota)
				return true;
		}
		if (!slot)
			break;
		slot = g->parent;
	}
	return false;
}

static __always_inline void account(struct task_struct *p, struct rqn_task *t, u64 now)
{
	u64 ran = now - t->began;
	u32 i, key = 0, slot = t->slot;
	struct rqn_group *g;
	struct rqn_cpu *c;

	if (!t->began || (s64)ran <= 0)
		return;
	t->began = now;
	c = bpf_map_lookup_elem(&rqn_cpus, &key);
	if (c && c->slot == slot)
		c->left = c->left > ran ? c->left - ran : 0;
	for (i = 0; i < LEVELS; i++) {
		g = group_at(slot);
		if (!g)
			break;
		__sync_fetch_and_add(&g->used, ran);
		if (!slot)
			break;
		slot = g->parent;
	}
}

static int rqn_refill(void *map, u32 *key, struct rqn_clock *ck)
{
	u32 i, waiting = 0;

	for (i = 0; i < MAX_GROUPS; i++)
		waiting |= scx_bpf_dsq_nr_queued(QUEUE(i)) > 0;
	for (i = 0; waiting && i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		scx_bpf_kick_cpu(i, SCX_KICK_IDLE);
	}
	bpf_timer_start(&ck->timer, TICK_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(rqn_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct rqn_task *t = bpf_task_storage_get(&rqn_tasks, p, 0, 0);
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle && t && !exhausted(t->slot, scx_bpf_now()))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(rqn_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct rqn_task *t = bpf_task_storage_get(&rqn_tasks, p, 0, 0);
	u32 slot = t && t->slot < MAX_GROUPS ? t->slot : 0;
	bool out = exhausted(slot, scx_bpf_now());
	s32 cpu;

	if ((p->flags & PF_KTHREAD) || ((enq_flags & SCX_ENQ_LAST) && !out)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, QUEUE(slot), slice_of(p), enq_flags);
	if (out)
		return;
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(rqn_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = scx_bpf_now();
	u32 i, key = 0, slot;
	struct rqn_cpu *c = bpf_map_lookup_elem(&rqn_cpus, &key);
	struct rqn_group *g;
	struct rqn_task *t;

	if (!c)
		return;

	/* the turn of the current cgroup goes on while something of its quantum is left */
	t = prev && (prev->scx.flags & SCX_TASK_QUEUED)
		    ? bpf_task_storage_get(&rqn_tasks, prev, 0, 0)
		    : 0;
	if (t && !(prev->flags & PF_KTHREAD))
		account(prev, t, now);
	slot = c->slot;
	if (slot < MAX_GROUPS && c->left && !exhausted(slot, now)) {
		if (scx_bpf_dsq_move_to_local(QUEUE(slot)))
			return;
		if (prev && t && t->slot == slot) {
			scx_bpf_task_set_slice(prev, slice_of(prev));
			return;
		}
	}

	for (i = 1; i <= MAX_GROUPS; i++) {
		slot = (c->slot + i) % MAX_GROUPS;
		if (scx_bpf_dsq_nr_queued(QUEUE(slot)) <= 0)
			continue;
		g = group_at(slot);
		if (!g || exhausted(slot, now) || !scx_bpf_dsq_move_to_local(QUEUE(slot)))
			continue;
		c->slot = slot;
		c->left = quantum_of(g);
		return;
	}
}

void SEC("struct_ops/running") BPF_PROG(rqn_running, struct task_struct *p)
{
	struct rqn_task *t = bpf_task_storage_get(&rqn_tasks, p, 0, 0);

	if (t)
		t->began = scx_bpf_now();
}

void SEC("struct_ops/stopping") BPF_PROG(rqn_stopping, struct task_struct *p, bool runnable)
{
	struct rqn_task *t = bpf_task_storage_get(&rqn_tasks, p, 0, 0);

	if (t && !(p->flags & PF_KTHREAD))
		account(p, t, scx_bpf_now());
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(rqn_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct rqn_task *t = bpf_task_storage_get(&rqn_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->slot = index_of(args->cgroup->kn->id);
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(rqn_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct rqn_task *t = bpf_task_storage_get(&rqn_tasks, p, 0, 0);

	if (t)
		t->slot = index_of(to->kn->id);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(rqn_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u64 cgid = cgrp->kn->id;
	u32 i, slot = 0, parent = 0;
	struct rqn_group *g;
	struct cgroup *up;

	if (cgrp->level > 0) {
		up = bpf_cgroup_ancestor(cgrp, cgrp->level - 1);
		if (up) {
			parent = index_of(up->kn->id);
			bpf_cgroup_release(up);
		}
		for (i = 1; i < MAX_GROUPS; i++) {
			g = group_at(i);
			if (g && !g->cgid) {
				slot = i;
				break;
			}
		}
	}
	g = group_at(slot);
	if (g && (slot || cgrp->level == 0)) {
		g->cgid = cgid;
		g->parent = parent;
		g->weight = args->weight;
		g->period = args->bw_period_us * 1000;
		g->quota = args->bw_quota_us == INF ? 0 : args->bw_quota_us * 1000;
		g->used = 0;
		__sync_fetch_and_add(&total_weight, args->weight);
	}
	bpf_map_update_elem(&rqn_index, &cgid, &slot, BPF_ANY);
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(rqn_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;
	u32 slot = index_of(cgid);
	struct rqn_group *g = group_at(slot);

	if (g && slot && g->cgid == cgid) {
		__sync_fetch_and_add(&total_weight, -(u64)g->weight);
		g->quota = 0;
		g->cgid = 0;
	}
	bpf_map_delete_elem(&rqn_index, &cgid);
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(rqn_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	u32 slot = index_of(cgrp->kn->id);
	struct rqn_group *g = group_at(slot);

	if (!g || !slot)
		return;
	__sync_fetch_and_add(&total_weight, (u64)weight - g->weight);
	g->weight = weight;
}

void SEC("struct_ops/cgroup_set_bandwidth") BPF_PROG(rqn_cgroup_set_bandwidth, struct cgroup *cgrp,
						     u64 period_us, u64 quota_us, u64 burst_us)
{
	u32 slot = index_of(cgrp->kn->id);
	struct rqn_group *g = group_at(slot);

	if (!g || !slot)
		return;
	g->period = period_us * 1000;
	g->quota = quota_us == INF ? 0 : quota_us * 1000;
	g->used = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(rqn_init)
{
	struct rqn_clock *ck;
	u32 i, key = 0;
	s32 err;

	nr_cpus = scx_bpf_nr_cpu_ids();
	for (i = 0; i < MAX_GROUPS; i++) {
		err = scx_bpf_create_dsq(QUEUE(i), -1);
		if (err)
			return err;
	}
	ck = bpf_map_lookup_elem(&rqn_clocks, &key);
	if (!ck)
		return -2;
	bpf_timer_init(&ck->timer, &rqn_clocks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&ck->timer, rqn_refill);
	return bpf_timer_start(&ck->timer, TICK_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops rqn_ops = {
	.select_cpu = (void *)rqn_select_cpu,
	.enqueue = (void *)rqn_enqueue,
	.dispatch = (void *)rqn_dispatch,
	.running = (void *)rqn_running,
	.stopping = (void *)rqn_stopping,
	.init_task = (void *)rqn_init_task,
	.cgroup_init = (void *)rqn_cgroup_init,
	.cgroup_exit = (void *)rqn_cgroup_exit,
	.cgroup_move = (void *)rqn_cgroup_move,
	.cgroup_set_weight = (void *)rqn_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)rqn_cgroup_set_bandwidth,
	.init = (void *)rqn_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "round_quanta",
};
