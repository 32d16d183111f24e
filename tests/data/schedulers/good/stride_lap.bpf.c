// SPDX-License-Identifier: GPL-2.0
/*
 * Stride scheduling by turns; strides are compressed to 60..240 so that the lightest task waits
 * four rounds at the most, and sleepers and new tasks get no credit beyond one stride.
 */
/*
 * Every turn on a CPU costs a task its stride, and the task with the smallest
 * pass goes next. The stride is inverse to the weight, but the ratio between
 * the heaviest and the lightest is kept at 4:1.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum stride_consts {
	STRIDE_DSQ_ID = 600,
	STRIDE_LEAST = 60,
	STRIDE_USUAL = 100,
	STRIDE_MOST = 240,
};

const volatile u64 stride_slice_ns = 3500000;

struct stride_info {
	u64 stride;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct stride_info);
} stride_infos SEC(".maps");

u64 stride_pass; /* pass of the task which ran last, never goes back */

static __always_inline bool stride_earlier(u64 a, u64 b)
{
	return (s64)(a - b) < 0;
}

static __always_inline u64 stride_from_weight(u64 weight)
{
	u64 s = weight ? 10000 / weight : STRIDE_MOST;

	if (s < STRIDE_LEAST)
		s = STRIDE_LEAST;
	if (s > STRIDE_MOST)
		s = STRIDE_MOST;
	return s;
}

static __always_inline u64 stride_of(struct task_struct *p)
{
	struct stride_info *si = bpf_task_storage_get(&stride_infos, p, 0, 0);

	if (si && si->stride)
		return si->stride;
	return stride_from_weight(p->scx.weight);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(stride_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, stride_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(stride_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 pass = p->scx.dsq_vtime;
	u64 low = stride_pass - STRIDE_LEAST;
	u64 high = stride_pass + STRIDE_MOST;
	s32 cpu;

	if (stride_earlier(pass, low))
		pass = low;
	if (stride_earlier(high, pass))
		pass = high;

	scx_bpf_dsq_insert_vtime(p, STRIDE_DSQ_ID, stride_slice_ns, pass, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(stride_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(STRIDE_DSQ_ID);
}

void SEC("struct_ops/running") BPF_PROG(stride_running, struct task_struct *p)
{
	u64 pass = p->scx.dsq_vtime;

	if (stride_earlier(stride_pass, pass) && !stride_earlier(stride_pass + STRIDE_MOST, pass))
		stride_pass = pass;
}

void SEC("struct_ops/stopping") BPF_PROG(stride_stopping, struct task_struct *p, bool runnable)
{
	p->scx.dsq_vtime += stride_of(p);
}

void SEC("struct_ops/set_weight") BPF_PROG(stride_set_weight, struct task_struct *p, u32 weight)
{
	struct stride_info *si = bpf_task_storage_get(&stride_infos, p, 0, 0);

	if (si)
		si->stride = stride_from_weight(weight);
}

void SEC("struct_ops/enable") BPF_PROG(stride_enable, struct task_struct *p)
{
	/* a newcomer waits one turn, or forking would pay */
	p->scx.dsq_vtime = stride_pass + STRIDE_USUAL;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(stride_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	bpf_task_storage_get(&stride_infos, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(stride_init)
{
	return scx_bpf_create_dsq(STRIDE_DSQ_ID, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops stride_ops = {
	.select_cpu = (void *)stride_select_cpu,
	.enqueue = (void *)stride_enqueue,
	.dispatch = (void *)stride_dispatch,
	.running = (void *)stride_running,
	.stopping = (void *)stride_stopping,
	.set_weight = (void *)stride_set_weight,
	.enable = (void *)stride_enable,
	.init_task = (void *)stride_init_task,
	.init = (void *)stride_init,
	.name = "stride_lap",
};
