// SPDX-License-Identifier: GPL-2.0
/*
 * Q08: queues of equal length count as shorter, so that tasks move across caches at every enqueue.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Two cache domains with a virtual time queue each; tasks belong to a domain and join the other one
 * when the line there is shorter. */
#define PF_KTHREAD 0x00200000
#define MAX_CPUS   128
#define LINE(d)	   (0x60ULL + (d))
#define OWNQ(cpu)  (0x1000ULL + (u32)(cpu))
#define BASE_SLICE 5000000ULL
#define DEBT_NS	   200000000ULL

struct sl_task {
	u64 vt;
	u64 began;
	u32 side;
	u32 moves;
};

struct sl_side {
	u64 clock;
	u64 joined;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sl_task);
} sl_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, struct sl_side);
} sl_sides SEC(".maps");

static u32 nr_cpus = 1;
static u32 turn;

static __always_inline u32 side_of(u32 cpu)
{
	return (cpu * 2 / nr_cpus) & 1;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 20000000 ? 20000000 : s;
}

/* the domain the task is to wait in from now on */
static __always_inline u32 settle(struct task_struct *p, struct sl_task *t)
{
	u32 here = t->side & 1, there = here ^ 1;
	struct sl_side *sd;

	if (scx_bpf_dsq_nr_queued(LINE(there)) <= scx_bpf_dsq_nr_queued(LINE(here))) {
		t->side = there;
		t->moves++;
		sd = bpf_map_lookup_elem(&sl_sides, &there);
		if (sd)
			sd->joined++;
	}
	return t->side & 1;
}

static __always_inline s32 idle_on_side(struct task_struct *p, u32 side)
{
	u32 i;

	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		if (side_of(i) != side || !bpf_cpumask_test_cpu(i, p->cpus_ptr))
			continue;
		if (scx_bpf_test_and_clear_cpu_idle(i))
			return i;
	}
	return -1;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sl_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct sl_task *t = bpf_task_storage_get(&sl_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool idle = false;
	s32 cpu;
	u32 side;

	if (!t || p->nr_cpus_allowed < nr_cpus || (p->flags & PF_KTHREAD)) {
		cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
		if (idle)
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return cpu;
	}

	side = settle(p, t);
	if (side_of((u32)prev_cpu) == side && scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		cpu = prev_cpu;
	else
		cpu = idle_on_side(p, side);
	if (cpu < 0)
		cpu = idle_on_side(p, side ^ 1);
	if (cpu < 0)
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sl_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct sl_task *t = bpf_task_storage_get(&sl_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	s32 cpu = scx_bpf_task_cpu(p);
	struct sl_side *sd;
	u32 side;

	if (!t || ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed < nr_cpus) ||
	    (u32)cpu >= nr_cpus) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if (p->nr_cpus_allowed < nr_cpus) {
		scx_bpf_dsq_insert(p, OWNQ(cpu), slice_of(p), enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}

	/* a wake-up has been settled in select_cpu already */
	side = (enq_flags & SCX_ENQ_CPU_SELECTED) ? t->side & 1 : settle(p, t);
	sd = bpf_map_lookup_elem(&sl_sides, &side);
	if (sd) {
		if ((s64)(t->vt - (sd->clock - BASE_SLICE)) < 0)
			t->vt = sd->clock - BASE_SLICE;
		if ((s64)(t->vt - (sd->clock + DEBT_NS)) > 0)
			t->vt = sd->clock + DEBT_NS;
	}
	scx_bpf_dsq_insert_vtime(p, LINE(side), slice_of(p), t->vt, enq_flags);

	cpu = idle_on_side(p, side);
	if (cpu < 0)
		cpu = idle_on_side(p, side ^ 1);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sl_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 side = side_of((u32)cpu);

	if ((u32)cpu < nr_cpus && (++turn & 1) && scx_bpf_dsq_move_to_local(OWNQ(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(LINE(side)) || scx_bpf_dsq_move_to_local(LINE(side ^ 1)))
		return;
	if ((u32)cpu < nr_cpus)
		scx_bpf_dsq_move_to_local(OWNQ(cpu));
}

void SEC("struct_ops/running") BPF_PROG(sl_running, struct task_struct *p)
{
	struct sl_task *t = bpf_task_storage_get(&sl_tasks, p, 0, 0);
	struct sl_side *sd;
	u32 side;

	if (!t)
		return;
	t->began = scx_bpf_now();
	side = t->side & 1;
	sd = bpf_map_lookup_elem(&sl_sides, &side);
	if (sd && p->nr_cpus_allowed >= nr_cpus && (s64)(t->vt - sd->clock) > 0)
		sd->clock = t->vt;
}

void SEC("struct_ops/stopping") BPF_PROG(sl_stopping, struct task_struct *p, bool runnable)
{
	struct sl_task *t = bpf_task_storage_get(&sl_tasks, p, 0, 0);
	u32 weight = p->scx.weight;

	if (t && t->began && weight)
		t->vt += (scx_bpf_now() - t->began) * 100 / weight;
}

s32 SEC("struct_ops.s/init") BPF_PROG(sl_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	for (i = 0; i < 2; i++) {
		err = scx_bpf_create_dsq(LINE(i), -1);
		if (err)
			return err;
	}
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(OWNQ(i), -1);
		if (err)
			return err;
	}
	nr_cpus = nr;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops sl_ops = {
	.select_cpu = (void *)sl_select_cpu,
	.enqueue = (void *)sl_enqueue,
	.dispatch = (void *)sl_dispatch,
	.running = (void *)sl_running,
	.stopping = (void *)sl_stopping,
	.init = (void *)sl_init,
	.name = "shorter_line",
};
