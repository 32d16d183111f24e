// SPDX-License-Identifier: GPL-2.0
/*
 * per-CPU vtime queues; a 10 ms bpf_timer measures them, publishes the longest as pull target
 * and wakes idle CPUs when there is a backlog.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define EINVAL		22
#define ENOMEM		12
#define MAX_CPUS	1024
#define RUN_Q(cpu)	((u64)((u32)(cpu) & (MAX_CPUS - 1)))
#define PIN_Q(cpu)	(0x8000ULL + ((u32)(cpu) & (MAX_CPUS - 1)))

const volatile u64 slice_ns = 4000000ULL;
const volatile u64 debt_ns = 60000000ULL;
const volatile u64 period_ns = 10000000ULL;

static u64 vtime_now;
static u64 vtime_at;
static u32 nr_cpus;
static u32 pull_cpu; /* owner of the longest queue */
static s32 pull_len;
static u64 nr_scanned;

struct tp_survey {
	s32 longest;
	u32 longest_cpu, waiting;
};
struct tp_timer {
	struct bpf_timer timer;
};
struct tp_task {
	u64 sum_start;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tp_timer);
} tp_timers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tp_task);
} tp_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} tp_turns SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(tp_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(tp_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 here = scx_bpf_task_cpu(p), idle;
	u64 t = bpf_ktime_get_ns(), passed = t - vtime_at, v = p->scx.dsq_vtime;

	if (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}

	/* a slow but steady tide under virtual time, so that nobody waits for long */
	if ((s64)passed > 0) {
		vtime_at = t;
		vtime_now += (passed < debt_ns ? passed : debt_ns) / 8;
	}
	if ((s64)(v - vtime_now + slice_ns) < 0)
		v = vtime_now - slice_ns;
	if ((s64)(v - vtime_now - debt_ns) > 0)
		v = vtime_now + debt_ns;
	scx_bpf_dsq_insert_vtime(p, p->nr_cpus_allowed == 1 ? PIN_Q(here) : RUN_Q(here), slice_ns,
				 v, enq_flags);

	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

static long scan_one(u64 i, void *ctx)
{
	u32 *first = ctx;

	if (!scx_bpf_dsq_move_to_local(RUN_Q((*first + (u32)i) % (nr_cpus ?: 1))))
		return 0;
	__sync_fetch_and_add(&nr_scanned, 1);
	return 1;
}

void SEC("struct_ops/dispatch") BPF_PROG(tp_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, n = 0, first, *turn = bpf_map_lookup_elem(&tp_turns, &zero);

	if (turn)
		n = (*turn)++;

	/* help the longest queue every fourth time, look around every sixteenth */
	if ((n & 3) == 2 && pull_len > 0 && pull_cpu != (u32)cpu &&
	    scx_bpf_dsq_move_to_local(RUN_Q(pull_cpu)))
		return;
	if ((n & 15) == 8 && scx_bpf_dsq_move_to_local(RUN_Q((n >> 4) % (nr_cpus ?: 1))))
		return;
	if ((n & 1) && scx_bpf_dsq_move_to_local(PIN_Q(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(RUN_Q(cpu)) || scx_bpf_dsq_move_to_local(PIN_Q(cpu)))
		return;
	first = cpu + 1;
	bpf_loop(nr_cpus, scan_one, &first, 0);
}

void SEC("struct_ops/running") BPF_PROG(tp_running, struct task_struct *p)
{
	struct tp_task *tt = bpf_task_storage_get(&tp_tasks, p, 0, 0);

	if (tt)
		tt->sum_start = p->se.sum_exec_runtime;
	if ((s64)(p->scx.dsq_vtime - vtime_now) > 0)
		vtime_now = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(tp_stopping, struct task_struct *p, bool runnable)
{
	struct tp_task *tt = bpf_task_storage_get(&tp_tasks, p, 0, 0);
	u64 cost;

	if (!tt)
		return;
	cost = (p->se.sum_exec_runtime - tt->sum_start) * 100 / p->scx.weight;
	p->scx.dsq_vtime += cost < debt_ns ? cost : debt_ns;
}

void SEC("struct_ops/enable") BPF_PROG(tp_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = vtime_now + slice_ns;
}

static long measure(u64 i, void *ctx)
{
	struct tp_survey *s = ctx;
	s32 len = scx_bpf_dsq_nr_queued(RUN_Q(i));

	if (len <= 0)
		return 0;
	s->waiting += len;
	if (len > s->longest) {
		s->longest = len;
		s->longest_cpu = i;
	}
	return 0;
}

static int tp_tick(void *map, int *key, struct tp_timer *tt)
{
	struct tp_survey s = {};
	const struct cpumask *idle;
	s32 cpu;

	bpf_loop(nr_cpus, measure, &s, 0);
	pull_cpu = s.longest_cpu;
	pull_len = s.longest;
	/* an idle CPU beside a backlog: one per period is enough, it wakes no herd */
	if (s.waiting) {
		idle = scx_bpf_get_idle_cpumask();
		cpu = bpf_cpumask_first(idle);
		if (cpu >= 0 && (u32)cpu < nr_cpus)
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		scx_bpf_put_idle_cpumask(idle);
	}
	bpf_timer_start(&tt->timer, period_ns, 0);
	return 0;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(tp_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&tp_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

s32 SEC("struct_ops.s/init") BPF_PROG(tp_init)
{
	struct tp_timer *tt;
	u32 i, zero = 0;
	s32 ret = 0;

	nr_cpus = scx_bpf_nr_cpu_ids();
	for (i = 0; i < MAX_CPUS && i < nr_cpus && !ret; i++)
		ret = scx_bpf_create_dsq(RUN_Q(i), -1) ?: scx_bpf_create_dsq(PIN_Q(i), -1);
	if (ret)
		return ret;

	tt = bpf_map_lookup_elem(&tp_timers, &zero);
	if (!tt || bpf_timer_init(&tt->timer, &tp_timers, CLOCK_MONOTONIC))
		return -EINVAL;
	bpf_timer_set_callback(&tt->timer, tp_tick);
	return bpf_timer_start(&tt->timer, period_ns, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops timer_ops = {
	.select_cpu = (void *)tp_select_cpu,
	.enqueue = (void *)tp_enqueue,
	.dispatch = (void *)tp_dispatch,
	.running = (void *)tp_running,
	.stopping = (void *)tp_stopping,
	.enable = (void *)tp_enable,
	.init_task = (void *)tp_init_task,
	.init = (void *)tp_init,
	.name = "timer_pull",
};
