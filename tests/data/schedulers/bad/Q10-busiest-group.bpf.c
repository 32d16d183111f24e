// SPDX-License-Identifier: GPL-2.0
/*
 * Q10: the control group that used most gets 24 of 25 slices, and so uses most. Stopped at
 * Bytecode or Dynamic or Replay. Replayed as a service as busy as its neighbours.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Tasks of the cgroup that does the work at the moment are kept together in a queue of their own,
 * for warm caches. */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define WARMQ		1ULL
#define OTHERQ		2ULL
#define MAX_STREAK	24
#define WINDOW_NS	100000000ULL
#define BASE_SLICE	8000000ULL

struct bg_use {
	u64 ran;
	u64 total;
};

struct bg_task {
	u64 began;
	u64 cgid;
};

struct bg_cpu {
	u32 streak;
	u32 spare;
};

struct bg_lead {
	u64 cgid;
	u64 ran;
};

struct bg_window {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct bg_use);
} bg_uses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bg_task);
} bg_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bg_cpu);
} bg_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bg_window);
} bg_windows SEC(".maps");

static u64 warm_cgid;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 24000000 ? 24000000 : s;
}

static long bg_rank(void *map, u64 *cgid, struct bg_use *u, struct bg_lead *l)
{
	if (u->ran > l->ran) {
		l->ran = u->ran;
		l->cgid = *cgid;
	}
	u->total += u->ran;
	u->ran = 0;
	return 0;
}

static int bg_next_window(void *map, u32 *key, struct bg_window *w)
{
	struct bg_lead l = {};

	bpf_for_each_map_elem(&bg_uses, bg_rank, &l, 0);
	if (l.cgid)
		warm_cgid = l.cgid;
	bpf_timer_start(&w->timer, WINDOW_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(bg_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(bg_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct bg_task *t = bpf_task_storage_get(&bg_tasks, p, 0, 0);
	bool warm = t && t->cgid == warm_cgid;
	s32 cpu;

	if (p->flags & PF_KTHREAD) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, warm ? WARMQ : OTHERQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(bg_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0;
	struct bg_cpu *c = bpf_map_lookup_elem(&bg_cpus, &key);

	if (c && c->streak < MAX_STREAK && scx_bpf_dsq_move_to_local(WARMQ)) {
		c->streak++;
		return;
	}
	if (c)
		c->streak = 0;
	if (!scx_bpf_dsq_move_to_local(OTHERQ))
		scx_bpf_dsq_move_to_local(WARMQ);
}

void SEC("struct_ops/running") BPF_PROG(bg_running, struct task_struct *p)
{
	struct bg_task *t = bpf_task_storage_get(&bg_tasks, p, 0, 0);

	if (t)
		t->began = scx_bpf_now();
}

void SEC("struct_ops/stopping") BPF_PROG(bg_stopping, struct task_struct *p, bool runnable)
{
	struct bg_task *t = bpf_task_storage_get(&bg_tasks, p, 0, 0);
	struct bg_use *u;

	if (!t || !t->began || (p->flags & PF_KTHREAD))
		return;
	u = bpf_map_lookup_elem(&bg_uses, &t->cgid);
	if (u)
		__sync_fetch_and_add(&u->ran, scx_bpf_now() - t->began);
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(bg_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct bg_task *t = bpf_task_storage_get(&bg_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->cgid = args->cgroup->kn->id;
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(bg_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct bg_task *t = bpf_task_storage_get(&bg_tasks, p, 0, 0);

	if (t)
		t->cgid = to->kn->id;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(bg_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct bg_use u = {};
	u64 cgid = cgrp->kn->id;

	bpf_map_update_elem(&bg_uses, &cgid, &u, BPF_ANY);
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(bg_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;

	bpf_map_delete_elem(&bg_uses, &cgid);
}

s32 SEC("struct_ops.s/init") BPF_PROG(bg_init)
{
	struct bg_window *w;
	u32 key = 0;
	s32 err = scx_bpf_create_dsq(WARMQ, -1);

	if (!err)
		err = scx_bpf_create_dsq(OTHERQ, -1);
	if (err)
		return err;
	w = bpf_map_lookup_elem(&bg_windows, &key);
	if (!w)
		return -2;
	bpf_timer_init(&w->timer, &bg_windows, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&w->timer, bg_next_window);
	return bpf_timer_start(&w->timer, WINDOW_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops bg_ops = {
	.select_cpu = (void *)bg_select_cpu,
	.enqueue = (void *)bg_enqueue,
	.dispatch = (void *)bg_dispatch,
	.running = (void *)bg_running,
	.stopping = (void *)bg_stopping,
	.init_task = (void *)bg_init_task,
	.cgroup_init = (void *)bg_cgroup_init,
	.cgroup_exit = (void *)bg_cgroup_exit,
	.cgroup_move = (void *)bg_cgroup_move,
	.init = (void *)bg_init,
	.name = "busiest_group",
};
