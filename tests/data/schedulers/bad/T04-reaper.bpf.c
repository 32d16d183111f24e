// SPDX-License-Identifier: GPL-2.0
/*
 * T04: with ENQ_EXITING, exiting tasks go to their own queue, read only by a CPU which would
 * otherwise be idle. With a hog on every CPU (or a queue that never empties) a task that blocks
 * or expires inside do_exit() never finishes. Stopped at Bytecode or Dynamic.
 */
/*
 * Weighted vtime on one queue; the tear-down work of dying tasks is kept apart
 * so that mass exits do not disturb the rest.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_EXITING   0x00000004
#define PF_KTHREAD   0x00200000
#define RUN_DSQ	     1
#define TEARDOWN_DSQ 2
#define SLICE	     5000000ULL
#define MAX_DEBT     100000000ULL

struct rp_task {
	u64 vtime;
	u64 on_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rp_task);
} rp_tasks SEC(".maps");

static u64 vnow;

static __always_inline bool before(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(rp_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(rp_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct rp_task *t;
	u64 v = vnow;
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}

	if (p->flags & PF_EXITING) {
		scx_bpf_dsq_insert(p, TEARDOWN_DSQ, SLICE, enq_flags);
	} else {
		t = bpf_task_storage_get(&rp_tasks, p, 0, 0);
		if (t) {
			v = t->vtime;
			if (before(v, vnow - SLICE))
				v = vnow - SLICE;
			if (before(vnow + MAX_DEBT, v))
				v = vnow + MAX_DEBT;
			t->vtime = v;
		}
		scx_bpf_dsq_insert_vtime(p, RUN_DSQ, SLICE, v, enq_flags);
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(rp_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(RUN_DSQ))
		return;
	/* nobody else wants the CPU: carry on with the current task */
	if (prev && (prev->scx.flags & SCX_TASK_QUEUED))
		return;
	scx_bpf_dsq_move_to_local(TEARDOWN_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(rp_running, struct task_struct *p)
{
	struct rp_task *t = bpf_task_storage_get(&rp_tasks, p, 0, 0);

	if (!t)
		return;
	t->on_at = bpf_ktime_get_ns();
	if (before(vnow, t->vtime))
		vnow = t->vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(rp_stopping, struct task_struct *p, bool runnable)
{
	struct rp_task *t = bpf_task_storage_get(&rp_tasks, p, 0, 0);

	if (t)
		t->vtime += (bpf_ktime_get_ns() - t->on_at) * 100 / (p->scx.weight ?: 1);
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(rp_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct rp_task *t;

	t = bpf_task_storage_get(&rp_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return -12;
	t->vtime = vnow;
	t->on_at = bpf_ktime_get_ns();
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(rp_init)
{
	s32 err = scx_bpf_create_dsq(RUN_DSQ, -1);

	return err ?: scx_bpf_create_dsq(TEARDOWN_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops rp_ops = {
	.select_cpu = (void *)rp_select_cpu,
	.enqueue = (void *)rp_enqueue,
	.dispatch = (void *)rp_dispatch,
	.running = (void *)rp_running,
	.stopping = (void *)rp_stopping,
	.init_task = (void *)rp_init_task,
	.init = (void *)rp_init,
	.flags = SCX_OPS_ENQ_EXITING,
	.name = "teardown",
};
