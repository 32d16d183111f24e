// SPDX-License-Identifier: GPL-2.0
/*
 * Q18: control groups younger than 3 s go first, and all others get a few percent while pods come
 * and go. Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Starting containers get the CPU quickly; everything else runs in FIFO order and is never passed
 * over for long. */
#define PF_KTHREAD   0x00200000
#define STARTQ	     0xf1ULL
#define STEADYQ	     0xf2ULL
#define YOUNG_NS     3000000000ULL
#define PASS_OVER_NS 300000000ULL
#define BASE_SLICE   8000000ULL

struct sb_task {
	u64 cgid;
	u64 slices;
};

struct sb_cpu {
	u64 steady_at;
	u64 starts;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, u64);
} sb_births SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sb_task);
} sb_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sb_cpu);
} sb_cpus SEC(".maps");

static bool live;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 32000000 ? 32000000 : s;
}

static __always_inline bool starting(struct task_struct *p)
{
	struct sb_task *t = bpf_task_storage_get(&sb_tasks, p, 0, 0);
	u64 *born = t ? bpf_map_lookup_elem(&sb_births, &t->cgid) : 0;

	return born && scx_bpf_now() - *born < YOUNG_NS;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sb_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sb_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if (!live)
		live = true;
	if (p->flags & PF_KTHREAD) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, starting(p) ? STARTQ : STEADYQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sb_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0;
	struct sb_cpu *c = bpf_map_lookup_elem(&sb_cpus, &key);
	u64 now = scx_bpf_now();
	bool due = !c || now - c->steady_at > PASS_OVER_NS;

	if (due && scx_bpf_dsq_move_to_local(STEADYQ)) {
		if (c)
			c->steady_at = now;
		return;
	}
	if (scx_bpf_dsq_move_to_local(STARTQ)) {
		if (c)
			c->starts++;
		return;
	}
	if (scx_bpf_dsq_move_to_local(STEADYQ) && c)
		c->steady_at = now;
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(sb_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct sb_task *t = bpf_task_storage_get(&sb_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->cgid = args->cgroup->kn->id;
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(sb_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct sb_task *t = bpf_task_storage_get(&sb_tasks, p, 0, 0);

	if (t)
		t->cgid = to->kn->id;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(sb_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u64 cgid = cgrp->kn->id, born = scx_bpf_now();

	/* those that are there when the scheduler is loaded have long started */
	if (live && cgrp->level > 0)
		bpf_map_update_elem(&sb_births, &cgid, &born, BPF_ANY);
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(sb_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;

	bpf_map_delete_elem(&sb_births, &cgid);
}

s32 SEC("struct_ops.s/init") BPF_PROG(sb_init)
{
	s32 err = scx_bpf_create_dsq(STARTQ, -1);

	return err ? err : scx_bpf_create_dsq(STEADYQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops sb_ops = {
	.select_cpu = (void *)sb_select_cpu,
	.enqueue = (void *)sb_enqueue,
	.dispatch = (void *)sb_dispatch,
	.init_task = (void *)sb_init_task,
	.cgroup_init = (void *)sb_cgroup_init,
	.cgroup_exit = (void *)sb_cgroup_exit,
	.cgroup_move = (void *)sb_cgroup_move,
	.init = (void *)sb_init,
	.name = "start_boost",
};
