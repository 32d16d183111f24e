// SPDX-License-Identifier: GPL-2.0
/*
 * Three rings of task numbers, found through a map of maps: heavier tasks are in a ring with more
 * turns, each CPU takes turns of its own, and who does not fit, or may not run here, goes to the
 * global queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

struct fifo {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4096);
	__type(value, u32);
} q0 SEC(".maps"), q1 SEC(".maps"), q2 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, int);
	__array(values, struct fifo);
} arr SEC(".maps") = {.values = {[0] = &q0, [1] = &q1, [2] = &q2}};
struct turn {
	u64 idx;
	u64 cnt;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct turn);
} turns SEC(".maps");

static int weight_to_idx(u32 w)
{
	if (w <= 50)
		return 0;
	else if (w < 200)
		return 1;
	return 2;
}

s32 SEC("struct_ops/rings_select_cpu")
	BPF_PROG(rings_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu;

	if (p->nr_cpus_allowed == 1 || scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
		return prev_cpu;
	}
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
		return cpu;
	}
	return prev_cpu;
}

void SEC("struct_ops/rings_enqueue") BPF_PROG(rings_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 pid = p->pid;
	int idx = weight_to_idx(p->scx.weight);
	void *ring;
	s32 cpu;

	if (p->flags & 0x00200000 || p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	ring = bpf_map_lookup_elem(&arr, &idx);
	if (!ring || bpf_map_push_elem(ring, &pid, 0)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/rings_dispatch") BPF_PROG(rings_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, pid, i, j;
	struct turn *t = bpf_map_lookup_elem(&turns, &zero);
	struct task_struct *p;

	if (!t)
		return;
	bpf_for (i, 0, 3) {
		int idx;
		void *fifo;

		if (!t->cnt) {
			t->idx = (t->idx + 1) % 3;
			t->cnt = 1 << t->idx;
		}
		idx = t->idx;
		fifo = bpf_map_lookup_elem(&arr, &idx);
		if (!fifo)
			return;
		bpf_for (j, 0, 64) {
			if (bpf_map_pop_elem(fifo, &pid))
				break;
			p = bpf_task_from_pid(pid);
			if (!p)
				continue;
			t->cnt--;
			if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
				scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
				bpf_task_release(p);
				return;
			}
			scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
			bpf_task_release(p);
			if (!scx_bpf_dispatch_nr_slots() || !t->cnt)
				break;
		}
		t->cnt = 0;
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops rings_ops = {
	.select_cpu = (void *)rings_select_cpu,
	.enqueue = (void *)rings_enqueue,
	.dispatch = (void *)rings_dispatch,
	.name = "rings",
};
