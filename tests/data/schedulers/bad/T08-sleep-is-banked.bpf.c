// SPDX-License-Identifier: GPL-2.0
/*
 * T08: fair by virtual time without a bound: who has slept for an hour may run for an hour before
 * anybody else does.
 * Stopped at Bytecode or Dynamic: when somebody wakes after a long sleep and has much to do.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BANK_Q 0x1d1

const volatile u64 slice_ns = 4000000;

static u64 now_vtime;

s32 SEC("struct_ops.s/init") BPF_PROG(banked_init)
{
	return scx_bpf_create_dsq(BANK_Q, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(banked_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(banked_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert_vtime(p, BANK_Q, slice_ns, p->scx.dsq_vtime, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(banked_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BANK_Q);
}

void SEC("struct_ops/running") BPF_PROG(banked_running, struct task_struct *p)
{
	if ((s64)(p->scx.dsq_vtime - now_vtime) > 0)
		now_vtime = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(banked_stopping, struct task_struct *p, bool runnable)
{
	u64 left = p->scx.slice;

	if (left < slice_ns)
		p->scx.dsq_vtime += (slice_ns - left) * 100 / (p->scx.weight ?: 1);
}

void SEC("struct_ops/enable") BPF_PROG(banked_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = now_vtime;
}

SEC(".struct_ops.link")
struct sched_ext_ops banked_ops = {
	.select_cpu = (void *)banked_select_cpu,
	.enqueue = (void *)banked_enqueue,
	.dispatch = (void *)banked_dispatch,
	.running = (void *)banked_running,
	.stopping = (void *)banked_stopping,
	.enable = (void *)banked_enable,
	.init = (void *)banked_init,
	.name = "fair_in_the_end",
};
