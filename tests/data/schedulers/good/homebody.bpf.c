// SPDX-License-Identifier: GPL-2.0
/*
 * previous CPU first, a vtime queue per CPU, long queues spill into a shared one, idle CPUs and
 * every fourth turn look at the others' queues.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Tasks like to stay where their cache is. When a task wakes up we first try
 * the CPU it ran on last, then any idle CPU it may use, and if the machine is
 * busy we let it wait at home - unless the queue at home is already long, in
 * which case it waits in the shared queue where everybody picks up work.
 *
 * A task which slept gets at most one slice of credit, a task which ran a lot
 * is never pushed back by more than debt_limit_ns, and virtual time makes at
 * least an eighth of real time: so the wait of every task stays bounded.
 */

#define PF_KTHREAD 0x00200000
#define MAX_CPUS   1024

#define HOME_Q(cpu)   ((u64)((u32)(cpu) & (MAX_CPUS - 1)))
#define PINNED_Q(cpu) (0x1000ULL + ((u32)(cpu) & (MAX_CPUS - 1)))
#define SPILL_Q	      0x2000ULL

const volatile u64 slice_ns = 5000000ULL;
const volatile u64 debt_limit_ns = 60000000ULL;
const volatile s32 spill_above = 3;

static u32 nr_cpus = 1;
static u64 vtime_now, tide_at, nr_visits;

struct home_cpu {
	u32 turn, visit;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct home_cpu);
} homes SEC(".maps");

struct home_task {
	u64 exec_start;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct home_task);
} home_tasks SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(home_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu;

	/* the affinity may have changed while the task slept */
	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
		return prev_cpu;
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
		return cpu;
	}

	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(home_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 home = scx_bpf_task_cpu(p), idle;
	u64 t = bpf_ktime_get_ns(), passed = t - tide_at;
	u64 vtime = p->scx.dsq_vtime, q;

	if (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}

	if ((s64)passed > 0) {
		tide_at = t;
		vtime_now += (passed < debt_limit_ns ? passed : debt_limit_ns) / 8;
	}
	if ((s64)(vtime - (vtime_now - slice_ns)) < 0)
		vtime = vtime_now - slice_ns;
	if ((s64)(vtime_now + debt_limit_ns - vtime) < 0)
		vtime = vtime_now + debt_limit_ns;

	if (p->nr_cpus_allowed == 1)
		q = PINNED_Q(home);
	else if (scx_bpf_dsq_nr_queued(HOME_Q(home)) > spill_above)
		q = SPILL_Q;
	else
		q = HOME_Q(home);
	scx_bpf_dsq_insert_vtime(p, q, slice_ns, vtime, enq_flags);

	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

static long visit_one(u64 i, void *ctx)
{
	u32 *first = ctx;

	if (!scx_bpf_dsq_move_to_local(HOME_Q((*first + (u32)i) % (nr_cpus ?: 1))))
		return 0;
	__sync_fetch_and_add(&nr_visits, 1);
	return 1;
}

void SEC("struct_ops/dispatch") BPF_PROG(home_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, turn, first;
	struct home_cpu *hs;

	hs = bpf_map_lookup_elem(&homes, &zero);
	if (!hs)
		return;
	turn = hs->turn++ & 3;

	/*
	 * 0, 2: home first, 1: pinned and spilled tasks first, 3: someone
	 * else's home first, as that CPU may be taken by a realtime task.
	 */
	if (turn == 1) {
		if (scx_bpf_dsq_move_to_local(PINNED_Q(cpu)) || scx_bpf_dsq_move_to_local(SPILL_Q))
			return;
	} else if (turn == 3) {
		hs->visit++;
		if ((hs->visit & 1) && scx_bpf_dsq_move_to_local(SPILL_Q))
			return;
		if (scx_bpf_dsq_move_to_local(HOME_Q((hs->visit >> 1) % (nr_cpus ?: 1))))
			return;
	}
	if (scx_bpf_dsq_move_to_local(HOME_Q(cpu)) || scx_bpf_dsq_move_to_local(PINNED_Q(cpu)) ||
	    scx_bpf_dsq_move_to_local(SPILL_Q))
		return;

	first = cpu + 1;
	bpf_loop(nr_cpus, visit_one, &first, 0);
}

void SEC("struct_ops/running") BPF_PROG(home_running, struct task_struct *p)
{
	struct home_task *ht = bpf_task_storage_get(&home_tasks, p, 0, 0);

	if (ht)
		ht->exec_start = p->se.sum_exec_runtime;
	if ((s64)(p->scx.dsq_vtime - vtime_now) > 0)
		vtime_now = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(home_stopping, struct task_struct *p, bool runnable)
{
	struct home_task *ht = bpf_task_storage_get(&home_tasks, p, 0, 0);
	u64 charge;

	if (!ht)
		return;
	charge = (p->se.sum_exec_runtime - ht->exec_start) * 100 / p->scx.weight;
	if (charge > debt_limit_ns)
		charge = debt_limit_ns;
	p->scx.dsq_vtime += charge;
}

void SEC("struct_ops/enable") BPF_PROG(home_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = vtime_now + slice_ns;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(home_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (bpf_task_storage_get(&home_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		return 0;
	return -12; /* ENOMEM */
}

s32 SEC("struct_ops.s/init") BPF_PROG(home_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret;

	nr_cpus = nr;
	ret = scx_bpf_create_dsq(SPILL_Q, -1);
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr || ret)
			break;
		ret = scx_bpf_create_dsq(HOME_Q(i), -1);
		if (!ret)
			ret = scx_bpf_create_dsq(PINNED_Q(i), -1);
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops homebody_ops = {
	.select_cpu = (void *)home_select_cpu,
	.enqueue = (void *)home_enqueue,
	.dispatch = (void *)home_dispatch,
	.running = (void *)home_running,
	.stopping = (void *)home_stopping,
	.enable = (void *)home_enable,
	.init_task = (void *)home_init_task,
	.init = (void *)home_init,
	.name = "homebody",
};
