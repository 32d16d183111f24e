// SPDX-License-Identifier: GPL-2.0
/*
 * Deadline order; the relative deadline follows the average burst of a task (short bursts first),
 * scaled by weight, at most 250 ms of real time; per-CPU kthreads run locally.
 */
/*
 * Tasks that usually run for short bursts get near deadlines, number crunchers
 * far ones. Since the deadline is a point in real time not further away than
 * LD_FAR, a cruncher is passed for that long at the most.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LD_DSQ	      12ULL
#define LD_MSEC	      (1000ULL * 1000ULL)
#define LD_NEAR	      (1 * LD_MSEC)
#define LD_FAR	      (250 * LD_MSEC)
#define LD_PF_KTHREAD 0x00200000

const volatile u64 ld_slice_ns = 5 * LD_MSEC;
const volatile u32 ld_spread = 8;

struct ld_task {
	u64 since;
	u64 burst; /* moving average */
	u64 open;  /* run time since the last sleep */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ld_task);
} ld_tasks SEC(".maps");

static __always_inline struct ld_task *ld_get(struct task_struct *p)
{
	return bpf_task_storage_get(&ld_tasks, p, 0, 0);
}

static __always_inline u64 ld_relative(struct task_struct *p, struct ld_task *t)
{
	u64 weight = p->scx.weight;
	u64 burst = ld_slice_ns, rel;

	if (t) {
		burst = t->burst;
		if (burst < t->open)
			burst = t->open;
	}
	if (burst > LD_FAR)
		burst = LD_FAR;
	if (!weight)
		weight = 1;

	rel = burst * ld_spread * 100 / weight;
	if (rel < LD_NEAR)
		rel = LD_NEAR;
	if (rel > LD_FAR)
		rel = LD_FAR;
	return rel;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ld_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, ld_slice_ns, 0);

	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ld_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 deadline, before;
	s32 cpu;

	if ((p->flags & LD_PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, ld_slice_ns, enq_flags);
		return;
	}

	/* dsq_vtime is the deadline of a wait that is not over yet, or 0 */
	deadline = scx_bpf_now() + ld_relative(p, ld_get(p));
	before = p->scx.dsq_vtime;
	if (before && (s64)(before - deadline) < 0)
		deadline = before;
	scx_bpf_dsq_insert_vtime(p, LD_DSQ, ld_slice_ns, deadline, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ld_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(LD_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(ld_running, struct task_struct *p)
{
	struct ld_task *t = ld_get(p);

	p->scx.dsq_vtime = 0;
	if (t)
		t->since = scx_bpf_now();
}

void SEC("struct_ops/stopping") BPF_PROG(ld_stopping, struct task_struct *p, bool runnable)
{
	struct ld_task *t = ld_get(p);
	u64 ran;

	if (!t)
		return;

	ran = scx_bpf_now() - t->since;
	if ((s64)ran > 0)
		t->open += ran;
	if (!runnable) {
		t->burst = (t->burst * 3 + t->open) / 4;
		t->open = 0;
	}
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(ld_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct ld_task *t;

	t = bpf_task_storage_get(&ld_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (t)
		t->burst = ld_slice_ns;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ld_init)
{
	return scx_bpf_create_dsq(LD_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops ld_ops = {
	.select_cpu = (void *)ld_select_cpu,
	.enqueue = (void *)ld_enqueue,
	.dispatch = (void *)ld_dispatch,
	.running = (void *)ld_running,
	.stopping = (void *)ld_stopping,
	.init_task = (void *)ld_init_task,
	.init = (void *)ld_init,
	.name = "latency_deadline",
};
