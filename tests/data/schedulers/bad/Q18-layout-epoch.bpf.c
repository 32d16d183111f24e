// SPDX-License-Identifier: GPL-2.0
/*
 * Q18: each control group that comes or goes puts every task's next turn 150 ms behind. Stopped at
 * Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Weighted virtual time on one queue per pair of nodes. A task whose place in the layout of cgroups
 * is new begins at the back, so that moves between cgroups cannot be used to jump the queue.
 */
#define PF_KTHREAD 0x00200000
#define NR_QUEUES  4
#define QUEUE(n)   (0x700ULL + (n))
#define SLICE_NS   6000000ULL
#define CREDIT_NS  6000000ULL
#define DEBT_NS	   200000000ULL
#define MOVED_NS   150000000ULL

struct le_task {
	u64 vt;
	u64 began;
	u64 epoch;
};

struct le_layout {
	u64 epoch;
	u64 groups;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct le_task);
} le_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct le_layout);
} le_layouts SEC(".maps");

static u64 vclock;

static __always_inline struct le_layout *layout(void)
{
	u32 key = 0;

	return bpf_map_lookup_elem(&le_layouts, &key);
}

static __always_inline u32 queue_of(s32 cpu)
{
	s32 node = scx_bpf_cpu_node(cpu);

	return node < 0 ? 0 : (u32)node / 2 % NR_QUEUES;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = SLICE_NS * p->scx.weight / 100;

	if (s < 2ULL * 1000000)
		return 2ULL * 1000000;
	return s > 24ULL * 1000000 ? 24ULL * 1000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(le_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(le_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct le_task *t = bpf_task_storage_get(&le_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct le_layout *l = layout();
	u64 now = vclock;
	s32 cpu;

	if (!t || !l || ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if (t->epoch != l->epoch) {
		t->epoch = l->epoch;
		t->vt = now + MOVED_NS;
	}
	if ((s64)(t->vt - (now - CREDIT_NS)) < 0)
		t->vt = now - CREDIT_NS;
	if ((s64)(t->vt - (now + DEBT_NS)) > 0)
		t->vt = now + DEBT_NS;
	scx_bpf_dsq_insert_vtime(p, QUEUE(queue_of(scx_bpf_task_cpu(p))), slice_of(p), t->vt,
				 enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(le_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i, q = queue_of(cpu);

	for (i = 0; i < NR_QUEUES; i++) {
		if (scx_bpf_dsq_move_to_local(QUEUE((q + i) % NR_QUEUES)))
			return;
	}
}

void SEC("struct_ops/running") BPF_PROG(le_running, struct task_struct *p)
{
	struct le_task *t = bpf_task_storage_get(&le_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if ((s64)(t->vt - vclock) > 0)
		vclock = t->vt;
}

void SEC("struct_ops/stopping") BPF_PROG(le_stopping, struct task_struct *p, bool runnable)
{
	struct le_task *t = bpf_task_storage_get(&le_tasks, p, 0, 0);
	u32 weight = p->scx.weight;

	if (t && t->began && weight)
		t->vt += (scx_bpf_now() - t->began) * 100 / weight;
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(le_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct le_task *t = bpf_task_storage_get(&le_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct le_layout *l = layout();

	if (!t)
		return -12;
	t->vt = vclock;
	t->epoch = l ? l->epoch : 0;
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(le_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct le_task *t = bpf_task_storage_get(&le_tasks, p, 0, 0);

	if (t)
		t->epoch = 0;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(le_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct le_layout *l = layout();

	if (l) {
		__sync_fetch_and_add(&l->epoch, 1);
		__sync_fetch_and_add(&l->groups, 1);
	}
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(le_cgroup_exit, struct cgroup *cgrp)
{
	struct le_layout *l = layout();

	if (l) {
		__sync_fetch_and_add(&l->epoch, 1);
		__sync_fetch_and_add(&l->groups, -1);
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(le_init)
{
	u32 i;
	s32 err;

	for (i = 0; i < NR_QUEUES; i++) {
		err = scx_bpf_create_dsq(QUEUE(i), -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops le_ops = {
	.select_cpu = (void *)le_select_cpu,
	.enqueue = (void *)le_enqueue,
	.dispatch = (void *)le_dispatch,
	.running = (void *)le_running,
	.stopping = (void *)le_stopping,
	.init_task = (void *)le_init_task,
	.cgroup_move = (void *)le_cgroup_move,
	.cgroup_init = (void *)le_cgroup_init,
	.cgroup_exit = (void *)le_cgroup_exit,
	.init = (void *)le_init,
	.name = "layout_epoch",
};
