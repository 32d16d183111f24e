// SPDX-License-Identifier: GPL-2.0
/*
 * Weighted vtime whose virtual clock advances at no less than an eighth of real time, with lag
 * bounded both ways, so that no debt lasts longer than half a second.
 */
/*
 * The position of a task is kept within [clock - credit, clock + ahead]. The
 * clock follows the tasks which run, and it also moves by one eighth of the
 * real time passed; after 8 * (ahead + credit) of real time nobody who arrives
 * can be placed in front of a task that waits.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define VF_DSQ 0x7f

const volatile u64 vf_slice_ns = 3500 * 1000ULL;
const volatile u64 vf_ahead_ns = 60 * 1000 * 1000ULL;
const volatile u64 vf_credit_ns = 4 * 1000 * 1000ULL;

struct vf_task {
	u64 exec_mark;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct vf_task);
} vf_tasks SEC(".maps");

u64 vf_clock;
u64 vf_mark;
u64 vf_mark_at;

static __always_inline bool vf_before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static __always_inline void vf_advance(u64 now)
{
	u64 passed = now - vf_mark_at;
	u64 least;

	if ((s64)passed < 1000000)
		return;

	least = vf_mark + passed / 8;
	if (vf_before(vf_clock, least))
		vf_clock = least;
	vf_mark = vf_clock;
	vf_mark_at = now;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(vf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, vf_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(vf_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 v = p->scx.dsq_vtime;
	u64 low, high;
	s32 cpu;

	vf_advance(scx_bpf_now());
	low = vf_clock - vf_credit_ns;
	high = vf_clock + vf_ahead_ns;

	if (vf_before(v, low))
		v = low;
	if (vf_before(high, v))
		v = high;
	scx_bpf_dsq_insert_vtime(p, VF_DSQ, vf_slice_ns, v, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(vf_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(VF_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(vf_running, struct task_struct *p)
{
	struct vf_task *t = bpf_task_storage_get(&vf_tasks, p, 0, 0);
	u64 v = p->scx.dsq_vtime;

	if (t)
		t->exec_mark = p->se.sum_exec_runtime;
	if (vf_before(vf_clock, v) && !vf_before(vf_clock + vf_ahead_ns, v))
		vf_clock = v;
}

void SEC("struct_ops/stopping") BPF_PROG(vf_stopping, struct task_struct *p, bool runnable)
{
	struct vf_task *t = bpf_task_storage_get(&vf_tasks, p, 0, 0);
	u64 weight = p->scx.weight;
	u64 used = vf_slice_ns;

	if (t)
		used = p->se.sum_exec_runtime - t->exec_mark;
	if (!weight)
		weight = 1;
	p->scx.dsq_vtime += used * 100 / weight;
}

bool SEC("struct_ops/core_sched_before")
	BPF_PROG(vf_core_sched_before, struct task_struct *a, struct task_struct *b)
{
	return vf_before(a->scx.dsq_vtime, b->scx.dsq_vtime);
}

void SEC("struct_ops/enable") BPF_PROG(vf_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = vf_clock;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(vf_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct vf_task *t;

	t = bpf_task_storage_get(&vf_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (t)
		t->exec_mark = p->se.sum_exec_runtime;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(vf_init)
{
	vf_mark_at = scx_bpf_now();
	return scx_bpf_create_dsq(VF_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops vf_ops = {
	.select_cpu = (void *)vf_select_cpu,
	.enqueue = (void *)vf_enqueue,
	.dispatch = (void *)vf_dispatch,
	.running = (void *)vf_running,
	.stopping = (void *)vf_stopping,
	.core_sched_before = (void *)vf_core_sched_before,
	.enable = (void *)vf_enable,
	.init_task = (void *)vf_init_task,
	.init = (void *)vf_init,
	.name = "vclock_floor",
};
