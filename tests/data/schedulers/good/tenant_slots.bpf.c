// SPDX-License-Identifier: GPL-2.0
/*
 * Cgroups are tenants hashed to 16 slots, the slot with the least weighted usage goes first; a
 * timer ages tasks that waited 400 ms into a queue with every second turn.
 */
/*
 * Each cgroup belongs to one of 16 slots. A slot is charged for the run time
 * of its tasks, divided by the cpu.weight of their cgroup, and the slot that
 * is least advanced is served. Inside a slot the order is that of arrival.
 * Tasks of a slot that is far ahead still get their turn: what has waited for
 * ts_patience_ns is moved to the aged queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

#define TS_SLOTS    16
#define TS_BASE	    0x3000
#define TS_AGED	    0x30ff
#define TS_SWEEP_NS 50000000ULL

const volatile u64 ts_slice_ns = 3500000ULL;
const volatile u64 ts_patience_ns = 400000000ULL;
const volatile u64 ts_credit_ns = 20000000ULL;

struct ts_tenant {
	u32 weight;
};

struct ts_task {
	u64 queued_at;
	u64 exec_mark;
};

struct ts_slot {
	u64 usage;
};

struct ts_clock {
	struct bpf_timer timer;
};

struct ts_choice {
	u64 usage;
	u32 slot;
	u32 any;
};

struct {
	__uint(type, BPF_MAP_TYPE_CGRP_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ts_tenant);
} ts_tenants SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ts_task);
} ts_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TS_SLOTS);
	__type(key, u32);
	__type(value, struct ts_slot);
} ts_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ts_clock);
} ts_clocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} ts_turns SEC(".maps");

u64 ts_now;

static __always_inline bool ts_less(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static __always_inline u32 ts_hash(u64 id)
{
	return (u32)((id * 0x9e3779b97f4a7c15ULL) >> 60);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ts_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, ts_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ts_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct ts_task *t = bpf_task_storage_get(&ts_tasks, p, 0, 0);
	struct cgroup *cgrp;
	u32 slot;
	s32 cpu;

	cgrp = scx_bpf_task_cgroup(p);
	slot = ts_hash(cgrp->kn->id);
	bpf_cgroup_release(cgrp);

	if (t && !t->queued_at)
		t->queued_at = scx_bpf_now();
	scx_bpf_dsq_insert(p, TS_BASE + (slot & (TS_SLOTS - 1)), ts_slice_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static long ts_compare(u32 i, struct ts_choice *best)
{
	struct ts_slot *s;
	u32 key = i;

	if (scx_bpf_dsq_nr_queued(TS_BASE + (u64)i) <= 0)
		return 0;
	s = bpf_map_lookup_elem(&ts_slots, &key);
	if (!s)
		return 1;

	/* a slot that was away does not collect more than this */
	if (ts_less(s->usage, ts_now - ts_credit_ns))
		s->usage = ts_now - ts_credit_ns;

	if (!best->any || ts_less(s->usage, best->usage)) {
		best->any = 1;
		best->usage = s->usage;
		best->slot = i;
	}
	return 0;
}

void SEC("struct_ops/dispatch") BPF_PROG(ts_dispatch, s32 cpu, struct task_struct *prev)
{
	struct ts_choice best = {};
	u32 zero = 0, i;
	u32 *turn = bpf_map_lookup_elem(&ts_turns, &zero);

	if (!turn || ((*turn)++ & 1)) {
		if (scx_bpf_dsq_move_to_local(TS_AGED))
			return;
	}

	bpf_loop(TS_SLOTS, ts_compare, &best, 0);
	if (best.any) {
		if (ts_less(ts_now, best.usage))
			ts_now = best.usage;
		if (scx_bpf_dsq_move_to_local(TS_BASE + (u64)best.slot))
			return;
	}

	/* the best slot had nothing for this CPU */
	for (i = 0; i < TS_SLOTS; i++) {
		if (scx_bpf_dsq_move_to_local(TS_BASE + i))
			return;
	}
	scx_bpf_dsq_move_to_local(TS_AGED);
}

void SEC("struct_ops/running") BPF_PROG(ts_running, struct task_struct *p)
{
	struct ts_task *t = bpf_task_storage_get(&ts_tasks, p, 0, 0);

	if (t) {
		t->exec_mark = p->se.sum_exec_runtime;
		t->queued_at = 0;
	}
}

void SEC("struct_ops/stopping") BPF_PROG(ts_stopping, struct task_struct *p, bool runnable)
{
	struct ts_task *t = bpf_task_storage_get(&ts_tasks, p, 0, 0);
	struct ts_tenant *tenant;
	struct ts_slot *s;
	struct cgroup *cgrp;
	u64 used = ts_slice_ns;
	u64 weight = 100;
	u32 slot;

	if (t)
		used = p->se.sum_exec_runtime - t->exec_mark;

	cgrp = scx_bpf_task_cgroup(p);
	slot = ts_hash(cgrp->kn->id);
	tenant = bpf_cgrp_storage_get(&ts_tenants, cgrp, 0, 0);
	if (tenant && tenant->weight)
		weight = tenant->weight;
	bpf_cgroup_release(cgrp);

	s = bpf_map_lookup_elem(&ts_slots, &slot);
	if (s)
		__sync_fetch_and_add(&s->usage, used * 100 / weight);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(ts_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct ts_task *t;

	t = bpf_task_storage_get(&ts_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (t)
		t->exec_mark = p->se.sum_exec_runtime;
	return 0;
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(ts_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	struct ts_tenant *tenant;

	tenant = bpf_cgrp_storage_get(&ts_tenants, cgrp, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (tenant)
		tenant->weight = args->weight;
	return 0;
}

void SEC("struct_ops/cgroup_set_weight")
	BPF_PROG(ts_cgroup_set_weight, struct cgroup *cgrp, u32 weight)
{
	struct ts_tenant *tenant = bpf_cgrp_storage_get(&ts_tenants, cgrp, 0, 0);

	if (tenant)
		tenant->weight = weight;
}

static int ts_sweep(void *map, int *key, struct ts_clock *clk)
{
	u64 now = scx_bpf_now();
	u32 i;

	bpf_rcu_read_lock();
	for (i = 0; i < TS_SLOTS; i++) {
		struct bpf_iter_scx_dsq it;
		struct task_struct *p;

		bpf_iter_scx_dsq_new(&it, TS_BASE + i, 0);
		while ((p = bpf_iter_scx_dsq_next(&it))) {
			struct ts_task *t = bpf_task_storage_get(&ts_tasks, p, 0, 0);

			if (t && (s64)(now - t->queued_at) < (s64)ts_patience_ns)
				continue;
			scx_bpf_dsq_move(&it, p, TS_AGED, 0);
		}
		bpf_iter_scx_dsq_destroy(&it);
	}
	bpf_rcu_read_unlock();

	bpf_timer_start(&clk->timer, TS_SWEEP_NS, 0);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ts_init)
{
	struct ts_clock *clk;
	u32 zero = 0, i;
	s32 err;

	for (i = 0; i < TS_SLOTS; i++) {
		err = scx_bpf_create_dsq(TS_BASE + i, -1);
		if (err)
			return err;
	}
	err = scx_bpf_create_dsq(TS_AGED, -1);
	if (err)
		return err;

	clk = bpf_map_lookup_elem(&ts_clocks, &zero);
	if (!clk)
		return -2;
	bpf_timer_init(&clk->timer, &ts_clocks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&clk->timer, ts_sweep);
	return bpf_timer_start(&clk->timer, TS_SWEEP_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops ts_ops = {
	.select_cpu = (void *)ts_select_cpu,
	.enqueue = (void *)ts_enqueue,
	.dispatch = (void *)ts_dispatch,
	.running = (void *)ts_running,
	.stopping = (void *)ts_stopping,
	.init_task = (void *)ts_init_task,
	.cgroup_init = (void *)ts_cgroup_init,
	.cgroup_set_weight = (void *)ts_cgroup_set_weight,
	.init = (void *)ts_init,
	.name = "tenant_slots",
};
