// SPDX-License-Identifier: GPL-2.0
/*
 * Q13: leaves without a word the first time that a limit of CPU time is set. Stopped at Bytecode
 * or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Shares by cpu.weight and nice: one virtual time queue, charged by the product of both divided by
 * the number of runnable tasks of the cgroup.
 */
#define PF_KTHREAD 0x00200000
#define MAINQ	   0x77ULL
#define SLICE_NS   5000000ULL
#define DEBT_NS	   200000000ULL

struct wo_group {
	u64 runnable;
	u64 weight;
};

struct wo_task {
	u64 cgid;
	u64 vt;
	u64 began;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct wo_group);
} wo_groups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct wo_task);
} wo_tasks SEC(".maps");

static u64 vclock;

static __always_inline u64 weight_of(struct task_struct *p, struct wo_task *t)
{
	struct wo_group *g = t ? bpf_map_lookup_elem(&wo_groups, &t->cgid) : 0;
	u64 w = p->scx.weight;

	if (g)
		w = w * g->weight / 100 / ((s64)g->runnable > 0 ? g->runnable : 1);
	return w ? w : 1;
}

static __always_inline u64 slice_of(struct task_struct *p, struct wo_task *t)
{
	u64 s = SLICE_NS * weight_of(p, t) / 100;

	return s < 2000000 ? 2000000 : s > 40000000 ? 40000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(wo_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct wo_task *t = bpf_task_storage_get(&wo_tasks, p, 0, 0);
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p, t), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(wo_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wo_task *t = bpf_task_storage_get(&wo_tasks, p, 0, 0);
	s32 cpu;

	if (!t || ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE_NS, enq_flags);
		return;
	}
	if ((s64)(t->vt - (vclock - SLICE_NS)) < 0)
		t->vt = vclock - SLICE_NS;
	if ((s64)(t->vt - (vclock + DEBT_NS)) > 0)
		t->vt = vclock + DEBT_NS;
	scx_bpf_dsq_insert_vtime(p, MAINQ, slice_of(p, t), t->vt, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(wo_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(MAINQ);
}

static __always_inline void count(struct task_struct *p, s64 by)
{
	struct wo_task *t = bpf_task_storage_get(&wo_tasks, p, 0, 0);
	struct wo_group *g = t ? bpf_map_lookup_elem(&wo_groups, &t->cgid) : 0;

	if (g)
		__sync_fetch_and_add(&g->runnable, by);
}

void SEC("struct_ops/runnable") BPF_PROG(wo_runnable, struct task_struct *p, u64 enq_flags)
{
	count(p, 1);
}

void SEC("struct_ops/quiescent") BPF_PROG(wo_quiescent, struct task_struct *p, u64 deq_flags)
{
	count(p, -1);
}

void SEC("struct_ops/running") BPF_PROG(wo_running, struct task_struct *p)
{
	struct wo_task *t = bpf_task_storage_get(&wo_tasks, p, 0, 0);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if ((s64)(t->vt - vclock) > 0)
		vclock = t->vt;
}

void SEC("struct_ops/stopping") BPF_PROG(wo_stopping, struct task_struct *p, bool runnable)
{
	struct wo_task *t = bpf_task_storage_get(&wo_tasks, p, 0, 0);

	if (t && t->began)
		t->vt += (scx_bpf_now() - t->began) * 100 / weight_of(p, t);
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(wo_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct wo_task *t = bpf_task_storage_get(&wo_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->cgid = args->cgroup->kn->id;
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(wo_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct wo_task *t = bpf_task_storage_get(&wo_tasks, p, 0, 0);

	if (t)
		t->cgid = to->kn->id;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(wo_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct wo_group g = {.weight = args->weight};
	u64 cgid = cgrp->kn->id;

	bpf_map_update_elem(&wo_groups, &cgid, &g, BPF_ANY);
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(wo_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;

	bpf_map_delete_elem(&wo_groups, &cgid);
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(wo_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	u64 cgid = cgrp->kn->id;
	struct wo_group *g = bpf_map_lookup_elem(&wo_groups, &cgid);

	if (g)
		g->weight = weight;
}

void SEC("struct_ops/cgroup_set_bandwidth") BPF_PROG(wo_cgroup_set_bandwidth, struct cgroup *cgrp,
						     u64 period_us, u64 quota_us, u64 burst_us)
{
	static char why[] = "cpu.max on %llu";
	unsigned long long data[1] = {cgrp->kn->id};

	if (quota_us != ~0ULL)
		scx_bpf_exit_bstr(0, why, data, sizeof(data));
}

s32 SEC("struct_ops.s/init") BPF_PROG(wo_init)
{
	return scx_bpf_create_dsq(MAINQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops wo_ops = {
	.select_cpu = (void *)wo_select_cpu,
	.enqueue = (void *)wo_enqueue,
	.dispatch = (void *)wo_dispatch,
	.runnable = (void *)wo_runnable,
	.quiescent = (void *)wo_quiescent,
	.running = (void *)wo_running,
	.stopping = (void *)wo_stopping,
	.init_task = (void *)wo_init_task,
	.cgroup_init = (void *)wo_cgroup_init,
	.cgroup_exit = (void *)wo_cgroup_exit,
	.cgroup_move = (void *)wo_cgroup_move,
	.cgroup_set_weight = (void *)wo_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)wo_cgroup_set_bandwidth,
	.init = (void *)wo_init,
	.name = "weights_only",
};
