// SPDX-License-Identifier: GPL-2.0
/*
 * keeps work on a small set of warm CPUs (a bpf_cpumask kptr), grows the set when it is full and
 * lets CPUs cool down when unused; a shared vtime queue takes the overflow.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define ENOMEM	   12
#define EINVAL	   22
#define MAX_CPUS   1024
#define SHARED_Q   0x8000ULL
#define PIN_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

const volatile u64 slice_ns = 6000000ULL;
const volatile u64 cool_after_ns = 150000000ULL;
const volatile u64 debt_ns = 80000000ULL;

static u32 nr_cpus;
static u64 vtime_now, clock_at;
static u32 sweep_at;

struct warm_slot {
	struct bpf_cpumask __kptr *mask;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct warm_slot);
} warm SEC(".maps");

struct warm_core {
	u64 used_at, turn;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct warm_core);
} cores SEC(".maps");

struct warm_task {
	u64 ran_from;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct warm_task);
} warm_tasks SEC(".maps");

/* Looks at one CPU per call and takes it out of the set when it was not used lately. */
static __always_inline void sweep(struct bpf_cpumask *mask, u64 now)
{
	struct warm_core *core;
	u32 cpu = sweep_at++ % (nr_cpus ?: 1);

	core = bpf_map_lookup_elem(&cores, &cpu);
	if (!core || !bpf_cpumask_test_cpu(cpu, (const struct cpumask *)mask))
		return;
	if (now > core->used_at + cool_after_ns)
		bpf_cpumask_clear_cpu(cpu, mask);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(warm_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct warm_slot *slot;
	struct bpf_cpumask *mask;
	u32 zero = 0;
	s32 cpu;

	slot = bpf_map_lookup_elem(&warm, &zero);
	if (!slot)
		return prev_cpu;
	mask = slot->mask;
	if (!mask)
		return prev_cpu;

	sweep(mask, bpf_ktime_get_ns());

	/* the CPU it ran on, if that is still warm and free */
	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    bpf_cpumask_test_cpu(prev_cpu, (const struct cpumask *)mask) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		cpu = prev_cpu;
		goto warm_hit;
	}

	/* any warm CPU; restricted tasks skip this, they look at their own mask below */
	if (p->nr_cpus_allowed >= nr_cpus) {
		cpu = scx_bpf_pick_idle_cpu((const struct cpumask *)mask, 0);
		if (cpu >= 0)
			goto warm_hit;
	}

	/* the set is full: grow it by a whole idle core, or else any idle CPU */
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, SCX_PICK_IDLE_CORE);
	if (cpu < 0)
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu < 0)
		return prev_cpu;
	bpf_cpumask_set_cpu(cpu, mask);
warm_hit:
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(warm_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime, now = bpf_ktime_get_ns(), passed = now - clock_at;
	s32 cpu;

	if (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}
	/* heavy tasks must not hold virtual time back: it makes at least 1/8 of the clock */
	if ((s64)passed > 0) {
		clock_at = now;
		vtime_now += (passed < debt_ns ? passed : debt_ns) / 8;
	}
	now = vtime_now;
	if ((s64)(vtime - (now - slice_ns)) < 0)
		vtime = now - slice_ns;
	if ((s64)(vtime - (now + debt_ns)) > 0)
		vtime = now + debt_ns;
	scx_bpf_dsq_insert_vtime(p, p->nr_cpus_allowed == 1 ? PIN_Q(scx_bpf_task_cpu(p)) : SHARED_Q,
				 slice_ns, vtime, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(warm_dispatch, s32 cpu, struct task_struct *prev)
{
	struct warm_core *core;
	u32 key = (u32)cpu & (MAX_CPUS - 1);

	core = bpf_map_lookup_elem(&cores, &key);
	if (core && (core->turn++ & 1) && scx_bpf_dsq_move_to_local(PIN_Q(key)))
		return;
	if (scx_bpf_dsq_move_to_local(SHARED_Q))
		return;
	scx_bpf_dsq_move_to_local(PIN_Q(key));
}

void SEC("struct_ops/running") BPF_PROG(warm_running, struct task_struct *p)
{
	struct warm_task *wt = bpf_task_storage_get(&warm_tasks, p, 0, 0);
	u32 key = (u32)scx_bpf_task_cpu(p) & (MAX_CPUS - 1);
	struct warm_core *core = bpf_map_lookup_elem(&cores, &key);

	if (wt)
		wt->ran_from = p->se.sum_exec_runtime;
	if (core)
		core->used_at = bpf_ktime_get_ns();
	if ((s64)(p->scx.dsq_vtime - vtime_now) > 0)
		vtime_now = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(warm_stopping, struct task_struct *p, bool runnable)
{
	struct warm_task *wt = bpf_task_storage_get(&warm_tasks, p, 0, 0);
	u64 vtime;

	if (!wt)
		return;
	vtime = p->scx.dsq_vtime + (p->se.sum_exec_runtime - wt->ran_from) * 100 / p->scx.weight;
	if ((s64)(vtime - (vtime_now + debt_ns)) > 0)
		vtime = vtime_now + debt_ns;
	p->scx.dsq_vtime = vtime;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(warm_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	p->scx.dsq_vtime = vtime_now + slice_ns;
	return bpf_task_storage_get(&warm_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0
										       : -ENOMEM;
}

s32 SEC("struct_ops.s/init") BPF_PROG(warm_init)
{
	struct bpf_cpumask *mask;
	struct warm_slot *slot;
	u32 i, zero = 0;
	s32 ret;

	nr_cpus = scx_bpf_nr_cpu_ids();
	slot = bpf_map_lookup_elem(&warm, &zero);
	if (!slot)
		return -EINVAL;
	mask = bpf_cpumask_create();
	if (!mask)
		return -ENOMEM;
	mask = bpf_kptr_xchg(&slot->mask, mask);
	if (mask)
		bpf_cpumask_release(mask);

	ret = scx_bpf_create_dsq(SHARED_Q, -1);
	for (i = 0; i < MAX_CPUS && i < nr_cpus && !ret; i++)
		ret = scx_bpf_create_dsq(PIN_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops warm_ops = {
	.select_cpu = (void *)warm_select_cpu,
	.enqueue = (void *)warm_enqueue,
	.dispatch = (void *)warm_dispatch,
	.running = (void *)warm_running,
	.stopping = (void *)warm_stopping,
	.init_task = (void *)warm_init_task,
	.init = (void *)warm_init,
	.name = "warm_cores",
};
