// SPDX-License-Identifier: GPL-2.0
/*
 * Q15: the accounts are keyed by cgroup and domain and made on demand for each domain where a
 * cgroup runs; cgroup_exit() deletes only that of the domain on which it happens to be called.
 * Every pod that comes and goes leaves the others behind: grows with pod churn on more than two
 * CPUs. Stopped at Bytecode.
 */
/*
 * Weighted virtual time per domain of two CPUs with a ledger of what each
 * cgroup used there.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define VT_DSQ	   (1ULL << 45)
#define SLICE	   5000000ULL
#define MAX_DEBT   100000000ULL

struct lg_key {
	u64 cgid;
	u64 dom;
};

struct lg_account {
	u64 used_ns;
	u64 turns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct lg_key);
	__type(value, struct lg_account);
} ledger SEC(".maps");

struct lg_task {
	u64 vtime;
	u64 mark;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lg_task);
} lg_tasks SEC(".maps");

static u64 vnow;

static __always_inline bool vt_less(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static __always_inline void book(struct task_struct *p, u64 ran)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	struct lg_account fresh = {.used_ns = ran, .turns = 1}, *a;
	struct lg_key k = {.cgid = cgrp->kn->id, .dom = (u32)scx_bpf_task_cpu(p) >> 1};

	bpf_cgroup_release(cgrp);
	a = bpf_map_lookup_elem(&ledger, &k);
	if (!a) {
		bpf_map_update_elem(&ledger, &k, &fresh, BPF_NOEXIST);
		return;
	}
	__sync_fetch_and_add(&a->used_ns, ran);
	__sync_fetch_and_add(&a->turns, 1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lg_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lg_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct lg_task *t;
	u64 v = vnow;
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	t = bpf_task_storage_get(&lg_tasks, p, 0, 0);
	if (t) {
		v = t->vtime;
		if (vt_less(v, vnow - SLICE))
			v = vnow - SLICE;
		if (vt_less(vnow + MAX_DEBT, v))
			v = vnow + MAX_DEBT;
		t->vtime = v;
	}
	scx_bpf_dsq_insert_vtime(p, VT_DSQ, SLICE, v, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lg_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(VT_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(lg_running, struct task_struct *p)
{
	struct lg_task *t = bpf_task_storage_get(&lg_tasks, p, 0, 0);

	if (!t)
		return;
	t->mark = p->se.sum_exec_runtime;
	if (vt_less(vnow, t->vtime))
		vnow = t->vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(lg_stopping, struct task_struct *p, bool runnable)
{
	struct lg_task *t = bpf_task_storage_get(&lg_tasks, p, 0, 0);
	u64 ran;

	if (!t)
		return;
	ran = p->se.sum_exec_runtime - t->mark;
	t->vtime += ran * 100 / (p->scx.weight ?: 1);
	if (!(p->flags & PF_KTHREAD))
		book(p, ran);
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(lg_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct lg_task *t = bpf_task_storage_get(&lg_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->vtime = vnow;
	t->mark = p->se.sum_exec_runtime;
	return 0;
}

void SEC("struct_ops.s/cgroup_exit") BPF_PROG(lg_cgroup_exit, struct cgroup *cgrp)
{
	struct lg_key k = {.cgid = cgrp->kn->id, .dom = bpf_get_smp_processor_id() >> 1};

	bpf_map_delete_elem(&ledger, &k);
}

s32 SEC("struct_ops.s/init") BPF_PROG(lg_init)
{
	return scx_bpf_create_dsq(VT_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops lg_ops = {
	.select_cpu = (void *)lg_select_cpu,
	.enqueue = (void *)lg_enqueue,
	.dispatch = (void *)lg_dispatch,
	.running = (void *)lg_running,
	.stopping = (void *)lg_stopping,
	.init_task = (void *)lg_init_task,
	.cgroup_exit = (void *)lg_cgroup_exit,
	.init = (void *)lg_init,
	.name = "ledger",
};
