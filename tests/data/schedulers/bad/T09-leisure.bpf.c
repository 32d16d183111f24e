// SPDX-License-Identifier: GPL-2.0
/*
 * T09: the deadline of kernel threads that are not bound is 41 s away. Stopped at Bytecode or
 * Dynamic.
 */
/*
 * leisure: deadlines by class of work. Those who are in no hurry say so by points, each point
 * stretches the deadline sixteenfold.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LE_CPUS	   256
#define LE_QUEUE   0x31ULL
#define LE_FIXED   0x4000ULL
#define LE_BASE_NS (10ULL * 1000 * 1000)
#define LE_SLICE   (4ULL * 1000 * 1000)
#define LE_KTHREAD 0x00200000

struct le_task {
	u32 points;
	u32 granted;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct le_task);
} le_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} le_turn SEC(".maps");

static u32 le_nr_cpus;

static __always_inline u32 le_points(struct task_struct *p)
{
	u32 points = 0;

	/* nobody looks at a screen that hangs on it */
	if (p->flags & LE_KTHREAD)
		points++;
	if (!p->mm)
		points++;
	if (p->scx.weight <= 100)
		points++;
	return points;
}

void SEC("struct_ops/runnable") BPF_PROG(le_runnable, struct task_struct *p, u64 enq_flags)
{
	struct le_task *t = bpf_task_storage_get(&le_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (t)
		t->points = le_points(p);
}

void SEC("struct_ops/enqueue") BPF_PROG(le_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct le_task *t = bpf_task_storage_get(&le_tasks, p, 0, 0);
	u32 points = t ? t->points & 3 : 1;
	u64 deadline;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		u64 dsq = SCX_DSQ_LOCAL;

		if (!(p->flags & LE_KTHREAD))
			dsq = LE_FIXED + (u32)scx_bpf_task_cpu(p);
		scx_bpf_dsq_insert(p, dsq, LE_SLICE, enq_flags);
		return;
	}

	deadline = bpf_ktime_get_ns() + (LE_BASE_NS << (4 * points));
	scx_bpf_dsq_insert_vtime(p, LE_QUEUE, LE_SLICE, deadline, enq_flags);
	if (t)
		t->granted++;

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(le_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u64 *turn = bpf_map_lookup_elem(&le_turn, &zero);
	u64 fixed = LE_FIXED + (u32)cpu;

	if (turn && ((*turn)++ & 1)) {
		if (scx_bpf_dsq_move_to_local(fixed))
			return;
		scx_bpf_dsq_move_to_local(LE_QUEUE);
		return;
	}
	if (scx_bpf_dsq_move_to_local(LE_QUEUE))
		return;
	scx_bpf_dsq_move_to_local(fixed);
}

s32 SEC("struct_ops.s/init") BPF_PROG(le_init)
{
	s32 ret = scx_bpf_create_dsq(LE_QUEUE, -1);
	u32 i;

	le_nr_cpus = scx_bpf_nr_cpu_ids();
	if (le_nr_cpus > LE_CPUS)
		return -7;
	for (i = 0; i < LE_CPUS && !ret; i++) {
		if (i >= le_nr_cpus)
			break;
		ret = scx_bpf_create_dsq(LE_FIXED + i, -1);
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops leisure_ops = {
	.runnable = (void *)le_runnable,
	.enqueue = (void *)le_enqueue,
	.dispatch = (void *)le_dispatch,
	.init = (void *)le_init,
	.name = "leisure",
};
