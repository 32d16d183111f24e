// SPDX-License-Identifier: GPL-2.0
/*
 * one deadline queue; the deadline depends on task weight, cgroup weight and on whether the
 * group is over its cpu.max, all within a fixed window.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define MAX_CPUS   1024
#define DEADLINE_Q 0x400ULL
#define OWN_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

const volatile u64 slice_ns = 5000000ULL;
const volatile u64 window_ns = 150000000ULL; /* by weights */
const volatile u64 over_ns = 200000000ULL;   /* on top when over quota */

struct cgd_group {
	u64 weight; /* compounded, 100 is neutral */
	u64 period_ns;
	u64 quota_ns; /* 0: no limit */
	u64 period_start;
	u64 used_ns; /* in the current period */
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cgd_group);
} cgd_groups SEC(".maps");

struct cgd_task {
	u64 run_from;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cgd_task);
} cgd_tasks SEC(".maps");

static u8 parity[MAX_CPUS];

static __always_inline struct cgd_group *group_of(struct cgroup *cgrp)
{
	return bpf_cgrp_storage_get(&cgd_groups, cgrp, 0, 0);
}

/* over its quota? Starts a new period when the old one has passed. */
static __always_inline bool over_quota(struct cgd_group *g, u64 now)
{
	if (!g->quota_ns)
		return false;
	if (now - g->period_start >= g->period_ns) {
		g->period_start = now;
		/* an overrun is paid back over the next periods, but not for ever */
		g->used_ns -= g->used_ns < g->quota_ns ? g->used_ns : g->quota_ns;
		if (g->used_ns > 2 * g->quota_ns)
			g->used_ns = 2 * g->quota_ns;
	}
	return g->used_ns >= g->quota_ns;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(cgd_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(cgd_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 now = bpf_ktime_get_ns(), delay = slice_ns * 100 / p->scx.weight, late = 0;
	struct cgd_group *g;
	struct cgroup *cgrp;
	s32 cpu;

	if (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}

	cgrp = scx_bpf_task_cgroup(p);
	g = group_of(cgrp);
	if (g) {
		delay = delay * 100 / (g->weight ?: 1);
		late = over_quota(g, now) ? over_ns : 0;
	}
	bpf_cgroup_release(cgrp);
	if (delay > window_ns)
		delay = window_ns;

	scx_bpf_dsq_insert_vtime(p,
				 p->nr_cpus_allowed == 1 ? OWN_Q(scx_bpf_task_cpu(p)) : DEADLINE_Q,
				 slice_ns, now + delay + late, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(cgd_dispatch, s32 cpu, struct task_struct *prev)
{
	bool own_first = parity[cpu & (MAX_CPUS - 1)]++ & 1;

	if (own_first && scx_bpf_dsq_move_to_local(OWN_Q(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(DEADLINE_Q))
		return;
	scx_bpf_dsq_move_to_local(OWN_Q(cpu));
}

void SEC("struct_ops/running") BPF_PROG(cgd_running, struct task_struct *p)
{
	struct cgd_task *ct = bpf_task_storage_get(&cgd_tasks, p, 0, 0);

	if (ct)
		ct->run_from = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(cgd_stopping, struct task_struct *p, bool runnable)
{
	struct cgd_task *ct = bpf_task_storage_get(&cgd_tasks, p, 0, 0);
	struct cgd_group *g;
	struct cgroup *cgrp;

	if (!ct)
		return;
	cgrp = scx_bpf_task_cgroup(p);
	g = group_of(cgrp);
	if (g)
		__sync_fetch_and_add(&g->used_ns, p->se.sum_exec_runtime - ct->run_from);
	bpf_cgroup_release(cgrp);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(cgd_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&cgd_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -12;
}

static __always_inline void set_weight(struct cgroup *cgrp, struct cgd_group *g, u64 weight)
{
	struct cgd_group *up = NULL;
	struct cgroup *parent;
	u64 above = 100;

	if (cgrp->level > 0) {
		parent = bpf_cgroup_ancestor(cgrp, cgrp->level - 1);
		if (parent) {
			up = group_of(parent);
			if (up)
				above = up->weight;
			bpf_cgroup_release(parent);
		}
	}
	weight = weight * above / 100;
	g->weight = weight < 1 ? 1 : weight > 10000 ? 10000 : weight;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(cgd_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct cgd_group *g;

	g = bpf_cgrp_storage_get(&cgd_groups, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (g) /* else the group is simply not told apart */
		set_weight(cgrp, g, args->weight);
	return 0;
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(cgd_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	struct cgd_group *g = group_of(cgrp);

	if (g)
		set_weight(cgrp, g, weight);
}

void SEC("struct_ops/cgroup_set_bandwidth") BPF_PROG(cgd_cgroup_set_bandwidth, struct cgroup *cgrp,
						     u64 period_us, u64 quota_us, u64 burst_us)
{
	struct cgd_group *g = group_of(cgrp);

	if (!g)
		return;
	g->period_ns = period_us * 1000;
	g->quota_ns = quota_us > period_us * MAX_CPUS ? 0 : quota_us * 1000; /* "max" */
	g->used_ns = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(cgd_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = scx_bpf_create_dsq(DEADLINE_Q, -1);

	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(OWN_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops cgd_ops = {
	.select_cpu = (void *)cgd_select_cpu,
	.enqueue = (void *)cgd_enqueue,
	.dispatch = (void *)cgd_dispatch,
	.running = (void *)cgd_running,
	.stopping = (void *)cgd_stopping,
	.init_task = (void *)cgd_init_task,
	.cgroup_init = (void *)cgd_cgroup_init,
	.cgroup_set_weight = (void *)cgd_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)cgd_cgroup_set_bandwidth,
	.init = (void *)cgd_init,
	.name = "cg_deadline",
};
