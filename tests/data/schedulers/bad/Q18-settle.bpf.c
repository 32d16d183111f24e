// SPDX-License-Identifier: GPL-2.0
/*
 * Q18: each cgroup creation, removal or change of weight opens a window of 400 ms in which
 * wakeups stay on their previous CPU, no idle CPU is searched or kicked and slices are four
 * times as long. With pods coming and going all the time the windows join; without churn it is a
 * good scheduler. Stopped at Bytecode or Dynamic.
 */
/*
 * Virtual time, weighted by nice and cpu.weight. The cached cgroup weights
 * are refreshed once the tree is quiet.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define VT_DSQ	   (1ULL << 42)
#define SLICE	   5000000ULL
#define MAX_DEBT   100000000ULL
#define SETTLE_NS  400000000ULL

struct se_cgrp {
	u32 weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct se_cgrp);
} se_cgrps SEC(".maps");

struct se_task {
	u64 vtime;
	u64 mark;
	u32 group_weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct se_task);
} se_tasks SEC(".maps");

static u64 vnow;
static u64 changed_at;

static __always_inline bool vt_less(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static __always_inline bool settled(void)
{
	return bpf_ktime_get_ns() - changed_at > SETTLE_NS;
}

static __always_inline void tree_changed(void)
{
	changed_at = bpf_ktime_get_ns();
}

static __always_inline u32 weight_of_group(struct task_struct *p)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct se_cgrp *c = bpf_cgrp_storage_get(&se_cgrps, cgrp, 0, 0);
	u32 w = c && c->weight ? c->weight : 100;

	bpf_cgroup_release(cgrp);
	return w;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(se_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	if (!settled())
		return prev_cpu;
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(se_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool calm = settled();
	struct se_task *t;
	u64 v = vnow;
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}

	t = bpf_task_storage_get(&se_tasks, p, 0, 0);
	if (t) {
		v = t->vtime;
		if (vt_less(v, vnow - SLICE))
			v = vnow - SLICE;
		if (vt_less(vnow + MAX_DEBT, v))
			v = vnow + MAX_DEBT;
		t->vtime = v;
	}
	scx_bpf_dsq_insert_vtime(p, VT_DSQ, calm ? SLICE : 4 * SLICE, v, enq_flags);
	if (!calm)
		return;
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(se_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(VT_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(se_running, struct task_struct *p)
{
	struct se_task *t = bpf_task_storage_get(&se_tasks, p, 0, 0);

	if (!t)
		return;
	t->mark = p->se.sum_exec_runtime;
	if (!t->group_weight || settled())
		t->group_weight = weight_of_group(p);
	if (vt_less(vnow, t->vtime))
		vnow = t->vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(se_stopping, struct task_struct *p, bool runnable)
{
	struct se_task *t = bpf_task_storage_get(&se_tasks, p, 0, 0);
	u64 ran;

	if (!t)
		return;
	ran = (p->se.sum_exec_runtime - t->mark) * 100 / (p->scx.weight ?: 1);
	t->vtime += ran * 100 / (t->group_weight ?: 100);
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(se_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct se_task *t = bpf_task_storage_get(&se_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->vtime = vnow;
	t->mark = p->se.sum_exec_runtime;
	return 0;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(se_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct se_cgrp *c =
		bpf_cgrp_storage_get(&se_cgrps, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!c)
		return -12;
	c->weight = args->weight;
	tree_changed();
	return 0;
}

void SEC("struct_ops.s/cgroup_exit") BPF_PROG(se_cgroup_exit, struct cgroup *cgrp)
{
	tree_changed();
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(se_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct se_task *t = bpf_task_storage_get(&se_tasks, p, 0, 0);

	if (t)
		t->group_weight = 0;
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(se_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	struct se_cgrp *c = bpf_cgrp_storage_get(&se_cgrps, cgrp, 0, 0);

	if (!c)
		return;
	c->weight = weight;
	tree_changed();
}

s32 SEC("struct_ops.s/init") BPF_PROG(se_init)
{
	return scx_bpf_create_dsq(VT_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops se_ops = {
	.select_cpu = (void *)se_select_cpu,
	.enqueue = (void *)se_enqueue,
	.dispatch = (void *)se_dispatch,
	.running = (void *)se_running,
	.stopping = (void *)se_stopping,
	.init_task = (void *)se_init_task,
	.cgroup_init = (void *)se_cgroup_init,
	.cgroup_exit = (void *)se_cgroup_exit,
	.cgroup_move = (void *)se_cgroup_move,
	.cgroup_set_weight = (void *)se_cgroup_set_weight,
	.init = (void *)se_init,
	.name = "settle",
};
