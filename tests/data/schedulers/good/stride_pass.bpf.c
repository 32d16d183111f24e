// SPDX-License-Identifier: GPL-2.0
/*
 * stride scheduling in fixed point on one priority queue; pass values stay within a window
 * around the global pass; yield gives up exactly one turn.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define NCPU	   1024
#define STRIDE1	   (100U << 10) /* stride of weight 100 is 1024 per quantum */
#define LEAD_MAX   (24 * 1024)	/* farthest a pass may be ahead, in strides of weight 100 */
#define LAG_MAX	   1024

#define PASS_Q	    (1ULL << 32)
#define HERE_Q(cpu) ((u64)((u32)(cpu) & (NCPU - 1)))

const volatile u64 quantum_ns = 4000000;

static u64 global_pass;
static u64 global_at;
static u8 odd[NCPU];

struct stride_task {
	u64 pass;
	u64 began;
	bool yielded;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct stride_task);
} strides SEC(".maps");

static __always_inline struct stride_task *st_of(struct task_struct *p)
{
	return bpf_task_storage_get(&strides, p, 0, 0);
}

/* the global pass follows the tasks, but at least one stride per eight quanta */
static __always_inline u64 pass_now(void)
{
	u64 t = bpf_ktime_get_ns(), q = (t - global_at) / (quantum_ns / 16 ?: 1);

	if ((s64)(t - global_at) > 0 && q) {
		global_at = t;
		global_pass += (q > 128 ? 128 : q) * (1024 / 128);
	}
	return global_pass;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(stride_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, quantum_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(stride_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct stride_task *st = st_of(p);
	u64 now;
	s32 cpu;

	if (!st || (p->nr_cpus_allowed == 1 && (p->flags & PF_KTHREAD))) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, quantum_ns, enq_flags);
		return;
	}

	now = pass_now();
	if (st->yielded) {
		st->yielded = false;
		st->pass += 1024;
	}
	if ((s64)(st->pass - (now - LAG_MAX)) < 0)
		st->pass = now - LAG_MAX;
	if ((s64)(st->pass - (now + LEAD_MAX)) > 0)
		st->pass = now + LEAD_MAX;

	scx_bpf_dsq_insert_vtime(p, p->nr_cpus_allowed == 1 ? HERE_Q(scx_bpf_task_cpu(p)) : PASS_Q,
				 quantum_ns, st->pass, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(stride_dispatch, s32 cpu, struct task_struct *prev)
{
	if (odd[cpu & (NCPU - 1)]++ & 1) {
		if (scx_bpf_dsq_move_to_local(HERE_Q(cpu)))
			return;
		scx_bpf_dsq_move_to_local(PASS_Q);
	} else {
		if (scx_bpf_dsq_move_to_local(PASS_Q))
			return;
		scx_bpf_dsq_move_to_local(HERE_Q(cpu));
	}
}

void SEC("struct_ops/running") BPF_PROG(stride_running, struct task_struct *p)
{
	struct stride_task *st = st_of(p);

	if (!st)
		return;
	st->began = p->se.sum_exec_runtime;
	if ((s64)(st->pass - global_pass) > 0)
		global_pass = st->pass;
}

void SEC("struct_ops/stopping") BPF_PROG(stride_stopping, struct task_struct *p, bool runnable)
{
	struct stride_task *st = st_of(p);
	u64 used, step;

	if (!st)
		return;
	/* a partial quantum advances the pass by that part of the stride */
	used = p->se.sum_exec_runtime - st->began;
	step = (STRIDE1 / p->scx.weight) * used / quantum_ns;
	st->pass += step > LEAD_MAX ? LEAD_MAX : step;
}

bool SEC("struct_ops/yield")
	BPF_PROG(stride_yield, struct task_struct *from, struct task_struct *to)
{
	struct stride_task *st = st_of(from);

	if (st)
		st->yielded = true;
	from->scx.slice = 0;
	return false;
}

void SEC("struct_ops/enable") BPF_PROG(stride_enable, struct task_struct *p)
{
	struct stride_task *st = st_of(p);

	if (st)
		st->pass = global_pass + 1024;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(stride_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&strides, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -12;
}

s32 SEC("struct_ops.s/init") BPF_PROG(stride_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = scx_bpf_create_dsq(PASS_Q, -1);

	for (i = 0; i < NCPU && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(HERE_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops stride_ops = {
	.select_cpu = (void *)stride_select_cpu,
	.enqueue = (void *)stride_enqueue,
	.dispatch = (void *)stride_dispatch,
	.running = (void *)stride_running,
	.stopping = (void *)stride_stopping,
	.yield = (void *)stride_yield,
	.enable = (void *)stride_enable,
	.init_task = (void *)stride_init_task,
	.init = (void *)stride_init,
	.name = "stride_pass",
};
