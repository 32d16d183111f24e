// SPDX-License-Identifier: GPL-2.0
/*
 * Q03: every non-root cgroup gets one half of the CPUs (even or odd numbers) as its house when
 * it is created, and its tasks run nowhere else, however idle the other half is. Shows with one
 * busy cgroup and more hogs than half the CPUs. Stopped at Bytecode or Dynamic.
 */
/*
 * Cgroup houses: a cgroup stays on its half of the machine for the sake of
 * its caches. Tasks of the root cgroup, bound tasks and kernel threads use all.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define HOUSE_DSQ  0x100ULL
#define OPEN_DSQ   0x110ULL
#define OPEN_HOUSE 2
#define MAX_CPUS   512

struct ho_cgrp {
	u32 house;
};

struct ho_task {
	u32 house;
};

struct ho_find {
	s32 found;
	u32 house;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ho_cgrp);
} ho_cgrps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ho_task);
} ho_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} flip SEC(".maps");

static u32 nr_cpus = 1;
static u32 nr_online = 1;
static u32 next_house;

static __always_inline u32 house_of(struct task_struct *p)
{
	struct ho_task *t;

	if ((p->flags & PF_KTHREAD) || (u32)p->nr_cpus_allowed < nr_online || nr_online < 2)
		return OPEN_HOUSE;
	t = bpf_task_storage_get(&ho_tasks, p, 0, 0);
	if (!t || t->house > 1)
		return OPEN_HOUSE;
	return t->house;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = 8000000ULL * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 30000000 ? 30000000 : s;
}

static int find_idle(u32 i, void *arg)
{
	struct ho_find *f = arg;
	u32 cpu = 2 * i + f->house;

	if (cpu >= nr_cpus || !scx_bpf_test_and_clear_cpu_idle(cpu))
		return 0;
	f->found = cpu;
	return 1;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ho_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct ho_find f = {.found = -1, .house = house_of(p)};
	bool is_idle = false;
	s32 cpu;

	if (f.house == OPEN_HOUSE) {
		cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
		if (is_idle)
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return cpu;
	}

	if (((u32)prev_cpu & 1) == f.house && scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return prev_cpu;
	}
	bpf_loop((nr_cpus + 1) / 2, find_idle, &f, 0);
	if (f.found >= 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return f.found;
	}
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ho_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct ho_find f = {.found = -1};
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}

	f.house = house_of(p);
	if (f.house == OPEN_HOUSE) {
		scx_bpf_dsq_insert(p, OPEN_DSQ, slice_of(p), enq_flags);
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		if (cpu >= 0)
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}

	scx_bpf_dsq_insert(p, HOUSE_DSQ + (f.house & 1), slice_of(p), enq_flags);
	bpf_loop((nr_cpus + 1) / 2, find_idle, &f, 0);
	if (f.found >= 0)
		scx_bpf_kick_cpu(f.found, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ho_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 house = HOUSE_DSQ + ((u32)cpu & 1);
	u32 zero = 0, *turn;

	turn = bpf_map_lookup_elem(&flip, &zero);
	if (turn && (++*turn & 1)) {
		if (scx_bpf_dsq_move_to_local(OPEN_DSQ))
			return;
		scx_bpf_dsq_move_to_local(house);
		return;
	}
	if (scx_bpf_dsq_move_to_local(house))
		return;
	scx_bpf_dsq_move_to_local(OPEN_DSQ);
}

static __always_inline void move_in(struct task_struct *p, struct cgroup *cgrp)
{
	struct ho_cgrp *c = bpf_cgrp_storage_get(&ho_cgrps, cgrp, 0, 0);
	struct ho_task *t = bpf_task_storage_get(&ho_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (t)
		t->house = c ? c->house : OPEN_HOUSE;
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(ho_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	move_in(p, args->cgroup);
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(ho_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	move_in(p, to);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(ho_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct ho_cgrp *c =
		bpf_cgrp_storage_get(&ho_cgrps, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!c)
		return -12;
	c->house = cgrp->level ? next_house++ & 1 : OPEN_HOUSE;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ho_init)
{
	const struct cpumask *online = scx_bpf_get_online_cpumask();
	s32 err;

	nr_online = bpf_cpumask_weight(online);
	scx_bpf_put_cpumask(online);
	nr_cpus = scx_bpf_nr_cpu_ids();

	err = scx_bpf_create_dsq(HOUSE_DSQ, -1);
	if (!err)
		err = scx_bpf_create_dsq(HOUSE_DSQ + 1, -1);
	if (!err)
		err = scx_bpf_create_dsq(OPEN_DSQ, -1);
	return err;
}

SEC(".struct_ops.link")
struct sched_ext_ops ho_ops = {
	.select_cpu = (void *)ho_select_cpu,
	.enqueue = (void *)ho_enqueue,
	.dispatch = (void *)ho_dispatch,
	.init_task = (void *)ho_init_task,
	.cgroup_move = (void *)ho_cgroup_move,
	.cgroup_init = (void *)ho_cgroup_init,
	.init = (void *)ho_init,
	.name = "houses",
};
