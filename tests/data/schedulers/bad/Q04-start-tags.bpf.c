// SPDX-License-Identifier: GPL-2.0
/*
 * Q04: when a task becomes runnable its weight by nice is overwritten with its control group's.
 * Stopped at Contract.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Start-time fair queueing: each cgroup is a flow with a tag that advances by service over weight,
 * a task is queued at its flow's tag. The slice grows with the weight. Tasks of a cgroup that is
 * out of quota are parked until its next period.
 */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAX_CPUS	256
#define MAINQ		1ULL
#define PARKQ		2ULL
#define BASE_SLICE	6000000ULL
#define MAX_AHEAD	400000000ULL
#define WAKE_NS		5000000ULL
#define UNLIMITED	(~0ULL)

struct st_flow {
	u64 tag;
	u64 used, quota, period, since;
	u32 weight, spare;
};

struct st_task {
	u64 cgid;
	u64 tag;
	u64 began;
	u32 weight, spare;
};

struct st_waker {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, u64);
	__type(value, struct st_flow);
} st_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct st_task);
} st_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct st_waker);
} st_wakers SEC(".maps");

static u64 vclock;
static u32 nr_cpus = 1;

static __always_inline u64 slice_for(struct st_task *t)
{
	u64 s = BASE_SLICE * t->weight / 100;

	return s < 2000000 ? 2000000 : s > 36000000 ? 36000000 : s;
}

static __always_inline bool spent(struct st_flow *f, u64 now)
{
	if (!f->quota)
		return false;
	if ((s64)(now - f->since) >= (s64)f->period) {
		f->used = f->used > f->quota ? f->used - f->quota : 0;
		if (f->used > 8 * f->quota)
			f->used = 8 * f->quota;
		f->since = now;
	}
	return f->used >= f->quota;
}

/* the tag at which a task of @f is to be queued; the flow's own tag moves on at once so that its
 * tasks line up one after the other */
static __always_inline u64 take_tag(struct st_flow *f, u64 slice)
{
	u64 tag = f->tag;

	if ((s64)(tag - (vclock - BASE_SLICE)) < 0)
		tag = vclock - BASE_SLICE;
	if ((s64)(tag - (vclock + MAX_AHEAD)) > 0)
		tag = vclock + MAX_AHEAD;
	f->tag = tag + slice / (f->weight ? f->weight : 100);
	return tag;
}

static int st_wake(void *map, u32 *key, struct st_waker *w)
{
	u32 i;

	if (scx_bpf_dsq_nr_queued(PARKQ) > 0) {
		for (i = 0; i < MAX_CPUS; i++) {
			if (i >= nr_cpus)
				break;
			scx_bpf_kick_cpu(i, SCX_KICK_IDLE);
		}
	}
	bpf_timer_start(&w->timer, WAKE_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(st_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct st_task *t = bpf_task_storage_get(&st_tasks, p, 0, 0);
	struct st_flow *f = t ? bpf_map_lookup_elem(&st_flows, &t->cgid) : 0;
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle && t && f && !spent(f, scx_bpf_now()))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_for(t), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(st_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct st_task *t = bpf_task_storage_get(&st_tasks, p, 0, 0);
	struct st_flow *f = t ? bpf_map_lookup_elem(&st_flows, &t->cgid) : 0;
	bool out = f && spent(f, scx_bpf_now());
	s32 cpu;

	if (!t || !f || (p->flags & PF_KTHREAD) || ((enq_flags & SCX_ENQ_LAST) && !out)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, t ? slice_for(t) : BASE_SLICE, enq_flags);
		return;
	}
	if (out) {
		scx_bpf_dsq_insert(p, PARKQ, slice_for(t), enq_flags);
		return;
	}
	t->tag = take_tag(f, slice_for(t));
	scx_bpf_dsq_insert_vtime(p, MAINQ, slice_for(t), t->tag, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static __always_inline void unpark(void)
{
	u64 now = scx_bpf_now();
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	struct st_task *t;
	struct st_flow *f;

	bpf_iter_scx_dsq_new(&it, PARKQ, 0);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		t = bpf_task_storage_get(&st_tasks, p, 0, 0);
		if (!t)
			continue;
		f = bpf_map_lookup_elem(&st_flows, &t->cgid);
		if (f && spent(f, now))
			continue;
		t->tag = f ? take_tag(f, slice_for(t)) : vclock;
		scx_bpf_dsq_move_set_vtime(&it, t->tag);
		scx_bpf_dsq_move_vtime(&it, p, MAINQ, 0);
	}
	bpf_iter_scx_dsq_destroy(&it);
}

void SEC("struct_ops/dispatch") BPF_PROG(st_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_nr_queued(PARKQ) > 0)
		unpark();
	scx_bpf_dsq_move_to_local(MAINQ);
}

void SEC("struct_ops/runnable") BPF_PROG(st_runnable, struct task_struct *p, u64 enq_flags)
{
	struct st_task *t = bpf_task_storage_get(&st_tasks, p, 0, 0);
	struct st_flow *f;

	if (!t)
		return;
	f = bpf_map_lookup_elem(&st_flows, &t->cgid);
	if (f && f->weight)
		t->weight = f->weight;
}

void SEC("struct_ops/running") BPF_PROG(st_running, struct task_struct *p)
{
	struct st_task *t = bpf_task_storage_get(&st_tasks, p, 0, 0);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if ((s64)(t->tag - vclock) > 0)
		vclock = t->tag;
}

void SEC("struct_ops/stopping") BPF_PROG(st_stopping, struct task_struct *p, bool runnable)
{
	struct st_task *t = bpf_task_storage_get(&st_tasks, p, 0, 0);
	struct st_flow *f;
	u64 ran;

	if (!t || !t->began || (p->flags & PF_KTHREAD))
		return;
	ran = scx_bpf_now() - t->began;
	f = bpf_map_lookup_elem(&st_flows, &t->cgid);
	if (!f)
		return;
	__sync_fetch_and_add(&f->used, ran);
	if (f->weight)
		f->tag += ran * 100 / f->weight;
}

void SEC("struct_ops/set_weight") BPF_PROG(st_set_weight, struct task_struct *p, u32 weight)
{
	struct st_task *t = bpf_task_storage_get(&st_tasks, p, 0, 0);

	if (t)
		t->weight = weight;
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(st_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct st_task *t = bpf_task_storage_get(&st_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->cgid = args->cgroup->kn->id;
	t->weight = 100;
	return 0;
}

void SEC("struct_ops/cgroup_move")
	BPF_PROG(st_cgroup_move, struct task_struct *p, struct cgroup *from, struct cgroup *to)
{
	struct st_task *t = bpf_task_storage_get(&st_tasks, p, 0, 0);

	if (t)
		t->cgid = to->kn->id;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(st_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	u64 cgid = cgrp->kn->id;
	struct st_flow f = {
		.tag = vclock,
		.weight = args->weight,
		.period = args->bw_period_us * 1000,
	};

	if (args->bw_quota_us != UNLIMITED)
		f.quota = args->bw_quota_us * 1000;
	bpf_map_update_elem(&st_flows, &cgid, &f, BPF_ANY);
	return 0;
}

void SEC("struct_ops/cgroup_exit") BPF_PROG(st_cgroup_exit, struct cgroup *cgrp)
{
	u64 cgid = cgrp->kn->id;

	bpf_map_delete_elem(&st_flows, &cgid);
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(st_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	u64 cgid = cgrp->kn->id;
	struct st_flow *f = bpf_map_lookup_elem(&st_flows, &cgid);

	if (f)
		f->weight = weight;
}

void SEC("struct_ops/cgroup_set_bandwidth") BPF_PROG(st_cgroup_set_bandwidth, struct cgroup *cgrp,
						     u64 period_us, u64 quota_us, u64 burst_us)
{
	u64 cgid = cgrp->kn->id;
	struct st_flow *f = bpf_map_lookup_elem(&st_flows, &cgid);

	if (!f)
		return;
	f->period = period_us * 1000;
	f->quota = quota_us == UNLIMITED ? 0 : quota_us * 1000;
	f->used = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(st_init)
{
	struct st_waker *w;
	u32 key = 0;
	s32 err;

	nr_cpus = scx_bpf_nr_cpu_ids();
	err = scx_bpf_create_dsq(MAINQ, -1);
	if (!err)
		err = scx_bpf_create_dsq(PARKQ, -1);
	if (err)
		return err;
	w = bpf_map_lookup_elem(&st_wakers, &key);
	if (!w)
		return -2;
	bpf_timer_init(&w->timer, &st_wakers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&w->timer, st_wake);
	return bpf_timer_start(&w->timer, WAKE_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops st_ops = {
	.select_cpu = (void *)st_select_cpu,
	.enqueue = (void *)st_enqueue,
	.dispatch = (void *)st_dispatch,
	.runnable = (void *)st_runnable,
	.running = (void *)st_running,
	.stopping = (void *)st_stopping,
	.set_weight = (void *)st_set_weight,
	.init_task = (void *)st_init_task,
	.cgroup_init = (void *)st_cgroup_init,
	.cgroup_exit = (void *)st_cgroup_exit,
	.cgroup_move = (void *)st_cgroup_move,
	.cgroup_set_weight = (void *)st_cgroup_set_weight,
	.cgroup_set_bandwidth = (void *)st_cgroup_set_bandwidth,
	.init = (void *)st_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "start_tags",
};
