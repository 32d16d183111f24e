// SPDX-License-Identifier: GPL-2.0
/*
 * T09: groups are charged with all of their ancestors and compete alone, so that the root group's
 * kernel threads come last. Stopped at Bytecode or Dynamic.
 */
/*
 * ancestry: every control group has a virtual clock and tasks are queued by the clock of their
 * group.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define GA_QUEUE  0x2cULL
#define GA_SLICE  (5ULL * 1000 * 1000)
#define GA_DEBT	  (400ULL * 1000 * 1000)
#define GA_LEVELS 8

struct ga_group {
	u64 clock;
	u32 weight;
	u32 level;
};

struct ga_stint {
	u64 since;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, u64);
	__type(value, struct ga_group);
} ga_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ga_stint);
} ga_stints SEC(".maps");

static u64 ga_now;

static __always_inline void ga_charge(u64 cgid, u64 ran)
{
	struct ga_group *g = bpf_map_lookup_elem(&ga_groups, &cgid);

	if (g)
		__sync_fetch_and_add(&g->clock, ran * 100 / (g->weight ? g->weight : 1));
}

void SEC("struct_ops/enqueue") BPF_PROG(ga_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 key = ga_now, cgid;
	struct ga_group *g;
	struct cgroup *cgrp;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, GA_SLICE, enq_flags);
		return;
	}

	cgrp = scx_bpf_task_cgroup(p);
	cgid = cgrp->kn->id;
	bpf_cgroup_release(cgrp);

	g = bpf_map_lookup_elem(&ga_groups, &cgid);
	if (g) {
		if ((s64)(g->clock - (ga_now - GA_SLICE)) < 0)
			g->clock = ga_now - GA_SLICE;
		/* a burst is forgiven in the end */
		if (g->level && (s64)(g->clock - (ga_now + GA_DEBT)) > 0)
			g->clock = ga_now + GA_DEBT;
		key = g->clock;
	}

	scx_bpf_dsq_insert_vtime(p, GA_QUEUE, GA_SLICE, key, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ga_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(GA_QUEUE))
		return;
}

void SEC("struct_ops/running") BPF_PROG(ga_running, struct task_struct *p)
{
	struct ga_stint *s = bpf_task_storage_get(&ga_stints, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u64 key = p->scx.dsq_vtime;

	if (s)
		s->since = bpf_ktime_get_ns();
	/* the clock of the queue follows the front, not a straggler far ahead */
	if ((s64)(key - ga_now) > 0 && key - ga_now <= GA_DEBT)
		ga_now = key;
}

void SEC("struct_ops/stopping") BPF_PROG(ga_stopping, struct task_struct *p, bool runnable)
{
	struct ga_stint *s = bpf_task_storage_get(&ga_stints, p, 0, 0);
	struct cgroup *cgrp, *up;
	s32 level, i;
	u64 ran;

	if (!s || !s->since)
		return;
	ran = bpf_ktime_get_ns() - s->since;
	s->since = 0;

	cgrp = scx_bpf_task_cgroup(p);
	level = cgrp->level;
	ga_charge(cgrp->kn->id, ran);
	for (i = 0; i < GA_LEVELS; i++) {
		if (i >= level)
			break;
		up = bpf_cgroup_ancestor(cgrp, i);
		if (!up)
			break;
		ga_charge(up->kn->id, ran);
		bpf_cgroup_release(up);
	}
	bpf_cgroup_release(cgrp);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(ga_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct ga_group g = {};
	u64 cgid = cgrp->kn->id;

	g.clock = ga_now;
	g.weight = args->weight;
	g.level = cgrp->level;
	bpf_map_update_elem(&ga_groups, &cgid, &g, BPF_ANY);
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(ga_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;

	bpf_map_delete_elem(&ga_groups, &cgid);
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(ga_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	u64 cgid = cgrp->kn->id;
	struct ga_group *g = bpf_map_lookup_elem(&ga_groups, &cgid);

	if (g)
		g->weight = weight;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ga_init)
{
	return scx_bpf_create_dsq(GA_QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops ancestry_ops = {
	.enqueue = (void *)ga_enqueue,
	.dispatch = (void *)ga_dispatch,
	.running = (void *)ga_running,
	.stopping = (void *)ga_stopping,
	.cgroup_init = (void *)ga_cgroup_init,
	.cgroup_exit = (void *)ga_cgroup_exit,
	.cgroup_set_weight = (void *)ga_cgroup_set_weight,
	.init = (void *)ga_init,
	.name = "ancestry",
};
