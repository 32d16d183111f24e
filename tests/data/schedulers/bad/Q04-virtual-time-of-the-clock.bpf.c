// SPDX-License-Identifier: GPL-2.0
/*
 * Q04: orders tasks by the CPU time they used, and weight is not looked at.
 * Stopped at Contract, unless the policy waives nice.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define EQUAL_Q 0x57

const volatile u64 slice_ns = 5000000;

static u64 now_vtime;

s32 SEC("struct_ops.s/init") BPF_PROG(equal_init)
{
	return scx_bpf_create_dsq(EQUAL_Q, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(equal_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(equal_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;

	if ((s64)(now_vtime - slice_ns - vtime) > 0)
		vtime = now_vtime - slice_ns;
	scx_bpf_dsq_insert_vtime(p, EQUAL_Q, slice_ns, vtime, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(equal_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(EQUAL_Q);
}

void SEC("struct_ops/running") BPF_PROG(equal_running, struct task_struct *p)
{
	if ((s64)(p->scx.dsq_vtime - now_vtime) > 0)
		now_vtime = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(equal_stopping, struct task_struct *p, bool runnable)
{
	if (p->scx.slice < slice_ns)
		p->scx.dsq_vtime += slice_ns - p->scx.slice;
}

void SEC("struct_ops/enable") BPF_PROG(equal_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = now_vtime;
}

SEC(".struct_ops.link")
struct sched_ext_ops equal_ops = {
	.select_cpu = (void *)equal_select_cpu,
	.enqueue = (void *)equal_enqueue,
	.dispatch = (void *)equal_dispatch,
	.running = (void *)equal_running,
	.stopping = (void *)equal_stopping,
	.enable = (void *)equal_enable,
	.init = (void *)equal_init,
	.name = "all_equal",
};
