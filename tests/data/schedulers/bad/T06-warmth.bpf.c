// SPDX-License-Identifier: GPL-2.0
/*
 * T06: select_cpu() claims an idle CPU (its idle bit is cleared) and then declines it for a
 * cache-warm task, without kicking it or giving it back; enqueue() looks for an idle CPU to kick
 * and no longer sees the claimed ones. CPUs sleep while tasks wait. Shows with tasks waking
 * often. Stopped at Bytecode or Dynamic.
 */
/*
 * Weighted vtime with a preference for the CPU pair where the task was warm.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define QUEUE	   3
#define SLICE	   6000000ULL
#define WARM_NS	   4000000ULL
#define MAX_DEBT   100000000ULL

struct wm_task {
	u64 vtime;
	u64 on_at;
	u64 off_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct wm_task);
} wm_tasks SEC(".maps");

static u64 vnow;

static __always_inline bool before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(wm_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct wm_task *t = bpf_task_storage_get(&wm_tasks, p, 0, 0);
	bool warm = t && bpf_ktime_get_ns() - t->off_at < WARM_NS;
	s32 cpu;

	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE, 0);
		return prev_cpu;
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0 && (!warm || (cpu >> 1) == (prev_cpu >> 1))) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE, 0);
		return cpu;
	}
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(wm_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wm_task *t;
	u64 v = vnow;
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}

	t = bpf_task_storage_get(&wm_tasks, p, 0, 0);
	if (t) {
		v = t->vtime;
		if (before(v, vnow - SLICE))
			v = vnow - SLICE;
		if (before(vnow + MAX_DEBT, v))
			v = vnow + MAX_DEBT;
		t->vtime = v;
	}
	scx_bpf_dsq_insert_vtime(p, QUEUE, SLICE, v, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(wm_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(wm_running, struct task_struct *p)
{
	struct wm_task *t = bpf_task_storage_get(&wm_tasks, p, 0, 0);

	if (!t)
		return;
	t->on_at = bpf_ktime_get_ns();
	if (before(vnow, t->vtime))
		vnow = t->vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(wm_stopping, struct task_struct *p, bool runnable)
{
	struct wm_task *t = bpf_task_storage_get(&wm_tasks, p, 0, 0);

	if (!t)
		return;
	t->off_at = bpf_ktime_get_ns();
	t->vtime += (t->off_at - t->on_at) * 100 / (p->scx.weight ?: 1);
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(wm_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct wm_task *t;

	t = bpf_task_storage_get(&wm_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return -12;
	t->vtime = vnow;
	t->on_at = bpf_ktime_get_ns();
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(wm_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops wm_ops = {
	.select_cpu = (void *)wm_select_cpu,
	.enqueue = (void *)wm_enqueue,
	.dispatch = (void *)wm_dispatch,
	.running = (void *)wm_running,
	.stopping = (void *)wm_stopping,
	.init_task = (void *)wm_init_task,
	.init = (void *)wm_init,
	.name = "warmth",
};
