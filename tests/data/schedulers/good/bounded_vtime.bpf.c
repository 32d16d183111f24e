// SPDX-License-Identifier: GPL-2.0
/*
 * Weighted fair queueing by virtual time. A sleeper keeps at most one slice of credit and a task
 * pays at most a bounded debt, so that neither can keep the other waiting for long.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SHARED_DSQ 0x51

const volatile u64 slice_ns = 5000000;
const volatile u64 debt_ns = 200000000;

static u64 vtime_now;

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(vtime_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(vtime_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;

	if ((s64)(vtime - (vtime_now - slice_ns)) < 0)
		vtime = vtime_now - slice_ns;
	if ((s64)(vtime - (vtime_now + debt_ns)) > 0)
		vtime = vtime_now + debt_ns;
	scx_bpf_dsq_insert_vtime(p, SHARED_DSQ, slice_ns, vtime, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(vtime_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SHARED_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(vtime_running, struct task_struct *p)
{
	if ((s64)(vtime_now - p->scx.dsq_vtime) < 0)
		vtime_now = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(vtime_stopping, struct task_struct *p, bool runnable)
{
	u64 used = slice_ns > p->scx.slice ? slice_ns - p->scx.slice : 0;

	p->scx.dsq_vtime += used * 100 / p->scx.weight;
}

void SEC("struct_ops/enable") BPF_PROG(vtime_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = vtime_now;
}

s32 SEC("struct_ops.s/init") BPF_PROG(vtime_init)
{
	return scx_bpf_create_dsq(SHARED_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops vtime_ops = {
	.select_cpu = (void *)vtime_select_cpu,
	.enqueue = (void *)vtime_enqueue,
	.dispatch = (void *)vtime_dispatch,
	.running = (void *)vtime_running,
	.stopping = (void *)vtime_stopping,
	.enable = (void *)vtime_enable,
	.init = (void *)vtime_init,
	.timeout_ms = 12000,
	.name = "bounded_vtime",
};
