// SPDX-License-Identifier: GPL-2.0
/*
 * one vtime queue per CPU domain; a bpf_timer compares the domains' loads and tells light ones
 * how many tasks to pull from the heaviest; idle CPUs pull anyway.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char _license[] SEC("license") = "GPL";
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAX_CPUS	1024
#define MAX_DOMS	64
#define DOM_Q(d)	(0x4000ULL + ((u32)(d) & (MAX_DOMS - 1)))
#define PIN_Q(cpu)	((u64)((u32)(cpu) & (MAX_CPUS - 1)))

const volatile u32 cpus_per_dom = 4;
const volatile u64 slice_ns = 5000000ULL, debt_ns = 60000000ULL, balance_ns = 50000000ULL;
const volatile u32 pull_limit = 4;
struct dom_load {
	u64 vtime_now, clock_at, load; /* load: averaged queue length, 8 fraction bits */
	u32 pull_from;
	s32 pull_budget;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_DOMS);
	__type(key, u32);
	__type(value, struct dom_load);
} doms SEC(".maps");

struct dom_timer {
	struct bpf_timer timer;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct dom_timer);
} timers SEC(".maps");
struct dom_task {
	u64 run_from;
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct dom_task);
} dom_tasks SEC(".maps");

static u32 nr_doms = 1;
static u8 turn[MAX_CPUS];
static __always_inline u32 dom_of(s32 cpu)
{
	return ((u32)cpu / (cpus_per_dom ?: 1)) % MAX_DOMS;
}
static __always_inline struct dom_load *dom_get(u32 d)
{
	return bpf_map_lookup_elem(&doms, &d);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(dom_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(dom_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 here = scx_bpf_task_cpu(p), idle;
	struct dom_load *ds = dom_get(dom_of(here));
	u64 v = p->scx.dsq_vtime, t = bpf_ktime_get_ns(), now, passed;

	if (!ds || (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD))) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}
	passed = t - ds->clock_at;
	if ((s64)passed > 0) { /* at least an eighth of real time */
		ds->clock_at = t;
		ds->vtime_now += (passed < debt_ns ? passed : debt_ns) / 8;
	}
	now = ds->vtime_now;
	if ((s64)(v - (now - slice_ns)) < 0)
		v = now - slice_ns;
	else if ((s64)(v - (now + debt_ns)) > 0)
		v = now + debt_ns;
	scx_bpf_dsq_insert_vtime(p, p->nr_cpus_allowed == 1 ? PIN_Q(here) : DOM_Q(dom_of(here)),
				 slice_ns, v, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

static long pull_any(u64 i, void *ctx)
{
	u32 *d = ctx;

	if (!scx_bpf_dsq_move_to_local(DOM_Q((*d + (u32)i) % (nr_doms ?: 1))))
		return 0;
	*d = MAX_DOMS;
	return 1;
}

void SEC("struct_ops/dispatch") BPF_PROG(dom_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 idx = (u32)cpu & (MAX_CPUS - 1), d = dom_of(cpu), next = d + 1;
	struct dom_load *ds = dom_get(d);
	u8 t = turn[idx]++;

	if (ds && ds->pull_budget > 0) {
		__sync_fetch_and_add(&ds->pull_budget, -1);
		if (scx_bpf_dsq_move_to_local(DOM_Q(ds->pull_from)))
			return;
	}
	/* now and then someone else's queue, in case that domain can't run for long */
	if ((t & 15) == 6 && scx_bpf_dsq_move_to_local(DOM_Q((d + (t >> 4)) % (nr_doms ?: 1))))
		return;
	if ((t & 1) && scx_bpf_dsq_move_to_local(PIN_Q(idx)))
		return;
	if (scx_bpf_dsq_move_to_local(DOM_Q(d)) || scx_bpf_dsq_move_to_local(PIN_Q(idx)))
		return;
	bpf_loop(nr_doms, pull_any, &next, 0);
}

void SEC("struct_ops/running") BPF_PROG(dom_running, struct task_struct *p)
{
	struct dom_task *dt = bpf_task_storage_get(&dom_tasks, p, 0, 0);
	struct dom_load *ds = dom_get(dom_of(scx_bpf_task_cpu(p)));
	u64 v = p->scx.dsq_vtime;

	if (dt)
		dt->run_from = p->se.sum_exec_runtime;
	/* a task that was pulled in takes over the clock */
	if (ds && (s64)(v - (ds->vtime_now + debt_ns)) > 0)
		p->scx.dsq_vtime = ds->vtime_now;
	else if (ds && (s64)(v - ds->vtime_now) > 0)
		ds->vtime_now = v;
}

void SEC("struct_ops/stopping") BPF_PROG(dom_stopping, struct task_struct *p, bool runnable)
{
	struct dom_task *dt = bpf_task_storage_get(&dom_tasks, p, 0, 0);

	if (dt)
		p->scx.dsq_vtime += (p->se.sum_exec_runtime - dt->run_from) * 100 / p->scx.weight;
}

struct dom_extremes {
	u64 max_load, min_load;
	u32 from, to;
};
static long weigh_dom(u64 i, void *ctx)
{
	struct dom_extremes *x = ctx;
	struct dom_load *ds = dom_get(i);
	s32 len = scx_bpf_dsq_nr_queued(DOM_Q(i));

	if (!ds)
		return 1;
	ds->load = ds->load / 2 + (len > 0 ? (u64)len : 0) * 128;
	ds->pull_budget = 0;
	if (ds->load >= x->max_load)
		x->max_load = ds->load, x->from = i;
	if (ds->load < x->min_load)
		x->min_load = ds->load, x->to = i;
	return 0;
}

static int balance(void *map, int *key, struct dom_timer *bt)
{
	struct dom_extremes x = {.min_load = ~0ULL};
	struct dom_load *ds;
	u64 gap;

	bpf_loop(nr_doms, weigh_dom, &x, 0);
	ds = dom_get(x.to);
	if (ds && x.from != x.to && x.max_load > x.min_load + 256) {
		gap = (x.max_load - x.min_load) / 512;
		ds->pull_from = x.from;
		ds->pull_budget = gap > pull_limit ? pull_limit : gap ?: 1;
	}
	bpf_timer_start(&bt->timer, balance_ns, 0);
	return 0;
}

void SEC("struct_ops/enable") BPF_PROG(dom_enable, struct task_struct *p)
{
	struct dom_load *ds = dom_get(dom_of(scx_bpf_task_cpu(p)));

	if (ds)
		p->scx.dsq_vtime = ds->vtime_now + slice_ns;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(dom_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&dom_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -12;
}

s32 SEC("struct_ops.s/init") BPF_PROG(dom_init)
{
	u32 i, zero = 0, nr = scx_bpf_nr_cpu_ids();
	struct dom_timer *bt;
	s32 ret = 0;

	nr_doms = nr > MAX_DOMS * cpus_per_dom ? MAX_DOMS : dom_of(nr - 1) + 1;
	for (i = 0; i < MAX_DOMS && i < nr_doms && !ret; i++)
		ret = scx_bpf_create_dsq(DOM_Q(i), -1);
	for (i = 0; i < MAX_CPUS && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(PIN_Q(i), -1);
	bt = bpf_map_lookup_elem(&timers, &zero);
	if (ret || !bt)
		return ret ?: -22;
	bpf_timer_init(&bt->timer, &timers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&bt->timer, balance);
	return bpf_timer_start(&bt->timer, balance_ns, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops dom_ops = {
	.select_cpu = (void *)dom_select_cpu,
	.enqueue = (void *)dom_enqueue,
	.dispatch = (void *)dom_dispatch,
	.running = (void *)dom_running,
	.stopping = (void *)dom_stopping,
	.init_task = (void *)dom_init_task,
	.enable = (void *)dom_enable,
	.init = (void *)dom_init,
	.name = "domain_loads",
};
