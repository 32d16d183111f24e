// SPDX-License-Identifier: GPL-2.0
/*
 * Weighted vtime in one shared queue; a timer moves tasks that have waited 400 ms to a FIFO queue
 * which gets every second turn.
 */
/*
 * Weighted fair sharing by virtual time alone can make a light task wait for
 * very long when the machine is full. Every 40 ms the fair queue is swept and
 * what has waited too long changes to the "aged" queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

#define FAIR_DSQ 100
#define AGED_DSQ 101

#define AT_SWEEP_NS (40 * 1000 * 1000ULL)

const volatile u64 at_slice_ns = 4000000ULL;
const volatile u64 at_patience_ns = 400000000ULL;
const volatile u64 at_debt_ns = 200000000ULL;

struct at_task {
	u64 queued_at;
	u64 ran_at;
};

struct at_clock {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct at_task);
} at_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct at_clock);
} at_clocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} at_turns SEC(".maps");

u64 at_vnow;

static __always_inline bool at_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static __always_inline struct at_task *at_lookup(struct task_struct *p)
{
	return bpf_task_storage_get(&at_tasks, p, 0, 0);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(at_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, at_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(at_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;
	u64 oldest = at_vnow - at_slice_ns;
	u64 newest = at_vnow + at_debt_ns;
	struct at_task *t = at_lookup(p);
	s32 cpu;

	/* a requeue by renice or new affinity does not restart the ageing */
	if (t && !t->queued_at)
		t->queued_at = scx_bpf_now();

	if (at_before(vtime, oldest))
		vtime = oldest;
	else if (at_before(newest, vtime))
		vtime = newest;

	scx_bpf_dsq_insert_vtime(p, FAIR_DSQ, at_slice_ns, vtime, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(at_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u64 *turn = bpf_map_lookup_elem(&at_turns, &zero);
	bool aged_first = true;

	if (turn)
		aged_first = (*turn)++ & 1;

	if (aged_first && scx_bpf_dsq_move_to_local(AGED_DSQ))
		return;
	if (scx_bpf_dsq_move_to_local(FAIR_DSQ))
		return;
	scx_bpf_dsq_move_to_local(AGED_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(at_running, struct task_struct *p)
{
	struct at_task *t = at_lookup(p);
	u64 vtime = p->scx.dsq_vtime;

	if (t) {
		t->ran_at = scx_bpf_now();
		t->queued_at = 0;
	}
	if (at_before(at_vnow, vtime) && !at_before(at_vnow + at_debt_ns, vtime))
		at_vnow = vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(at_stopping, struct task_struct *p, bool runnable)
{
	struct at_task *t = at_lookup(p);
	u64 used = at_slice_ns;
	u64 weight = p->scx.weight ? p->scx.weight : 1;

	if (t && t->ran_at) {
		used = scx_bpf_now() - t->ran_at;
		if ((s64)used < 0)
			used = 0;
	}
	p->scx.dsq_vtime += used * 100 / weight;
}

bool SEC("struct_ops/yield") BPF_PROG(at_yield, struct task_struct *from, struct task_struct *to)
{
	from->scx.slice = 0;
	return false;
}

void SEC("struct_ops/enable") BPF_PROG(at_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = at_vnow;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(at_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	/* everything also works, less exactly, for a task without storage */
	bpf_task_storage_get(&at_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

static int at_sweep(void *map, int *key, struct at_clock *clk)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	u64 now = scx_bpf_now();

	bpf_rcu_read_lock();
	bpf_iter_scx_dsq_new(&it, FAIR_DSQ, 0);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		struct at_task *t = bpf_task_storage_get(&at_tasks, p, 0, 0);

		if (t && (s64)(now - t->queued_at) < (s64)at_patience_ns)
			continue;
		scx_bpf_dsq_move(&it, p, AGED_DSQ, 0);
	}
	bpf_iter_scx_dsq_destroy(&it);
	bpf_rcu_read_unlock();

	bpf_timer_start(&clk->timer, AT_SWEEP_NS, 0);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(at_init)
{
	struct at_clock *clk;
	u32 zero = 0;
	s32 err;

	err = scx_bpf_create_dsq(FAIR_DSQ, -1);
	if (err)
		return err;
	err = scx_bpf_create_dsq(AGED_DSQ, -1);
	if (err)
		return err;

	clk = bpf_map_lookup_elem(&at_clocks, &zero);
	if (!clk)
		return -2;
	bpf_timer_init(&clk->timer, &at_clocks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&clk->timer, at_sweep);
	return bpf_timer_start(&clk->timer, AT_SWEEP_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops at_ops = {
	.select_cpu = (void *)at_select_cpu,
	.enqueue = (void *)at_enqueue,
	.dispatch = (void *)at_dispatch,
	.running = (void *)at_running,
	.stopping = (void *)at_stopping,
	.yield = (void *)at_yield,
	.enable = (void *)at_enable,
	.init_task = (void *)at_init_task,
	.init = (void *)at_init,
	.name = "aged_turns",
};
