// SPDX-License-Identifier: GPL-2.0
/*
 * Q17: shortest expected burst first, the expectation multiplied by 64 and capped at two seconds
 * in the deadline: the mean latency falls, but a server task with an occasional long request is
 * then seconds behind all short ones: p99.9 is far worse. Bounded, so nothing stalls. Stopped at
 * Bytecode or Dynamic or Replay. Replayed as a service with long requests.
 */
/*
 * Short bursts first, with a deadline so that long ones get their turn.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define SB_DSQ	   0xd7
#define SLICE	   4000000ULL
#define STRETCH	   64
#define MAX_REACH  2000000000ULL

struct sb_task {
	u64 began;
	u64 expected;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sb_task);
} sb_tasks SEC(".maps");

static __always_inline u64 reach(struct task_struct *p, struct sb_task *t)
{
	u64 r = t ? t->expected * STRETCH : SLICE;

	r = (r + 1000000ULL) * 100 / (p->scx.weight ?: 1);
	return r > MAX_REACH ? MAX_REACH : r;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sb_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sb_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 now = bpf_ktime_get_ns();
	struct sb_task *t;
	s32 cpu;

	if (p->flags & PF_KTHREAD) {
		if (p->nr_cpus_allowed == 1)
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		else
			scx_bpf_dsq_insert_vtime(p, SB_DSQ, SLICE, now, enq_flags);
	} else {
		t = bpf_task_storage_get(&sb_tasks, p, 0, 0);
		scx_bpf_dsq_insert_vtime(p, SB_DSQ, SLICE, now + reach(p, t), enq_flags);
	}
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sb_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SB_DSQ);
}

void SEC("struct_ops/runnable") BPF_PROG(sb_runnable, struct task_struct *p, u64 enq_flags)
{
	struct sb_task *t = bpf_task_storage_get(&sb_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (t)
		t->began = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(sb_stopping, struct task_struct *p, bool runnable)
{
	struct sb_task *t = bpf_task_storage_get(&sb_tasks, p, 0, 0);
	u64 burst;

	if (!t)
		return;
	burst = p->se.sum_exec_runtime - t->began;
	/* a burst under way counts as soon as it is longer than expected */
	if (runnable) {
		if (burst > t->expected)
			t->expected = burst;
		return;
	}
	t->expected = t->expected - (t->expected >> 3) + (burst >> 3);
}

s32 SEC("struct_ops.s/init") BPF_PROG(sb_init)
{
	return scx_bpf_create_dsq(SB_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops sb_ops = {
	.select_cpu = (void *)sb_select_cpu,
	.enqueue = (void *)sb_enqueue,
	.dispatch = (void *)sb_dispatch,
	.runnable = (void *)sb_runnable,
	.stopping = (void *)sb_stopping,
	.init = (void *)sb_init,
	.name = "shortfirst",
};
