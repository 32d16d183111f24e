// SPDX-License-Identifier: GPL-2.0
/*
 * Q04: multiplies by the weight where it should divide: the nicer a task, the more it gets.
 * Stopped at Bytecode or Contract, unless the policy waives nice.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FLIPPED_Q 0x58

const volatile u64 slice_ns = 4000000;
const volatile u64 debt_ns = 100000000;

static u64 clock_ns;

s32 SEC("struct_ops.s/init") BPF_PROG(flipped_init)
{
	return scx_bpf_create_dsq(FLIPPED_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(flipped_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;

	if ((s64)(clock_ns - slice_ns - vtime) > 0)
		vtime = clock_ns - slice_ns;
	if ((s64)(vtime - clock_ns - debt_ns) > 0)
		vtime = clock_ns + debt_ns;
	scx_bpf_dsq_insert_vtime(p, FLIPPED_Q, slice_ns, vtime, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(flipped_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FLIPPED_Q);
}

void SEC("struct_ops/running") BPF_PROG(flipped_running, struct task_struct *p)
{
	if ((s64)(p->scx.dsq_vtime - clock_ns) > 0)
		clock_ns = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(flipped_stopping, struct task_struct *p, bool runnable)
{
	if (p->scx.slice < slice_ns)
		p->scx.dsq_vtime += (slice_ns - p->scx.slice) * p->scx.weight / 100;
}

void SEC("struct_ops/enable") BPF_PROG(flipped_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = clock_ns;
}

SEC(".struct_ops.link")
struct sched_ext_ops flipped_ops = {
	.enqueue = (void *)flipped_enqueue,
	.dispatch = (void *)flipped_dispatch,
	.running = (void *)flipped_running,
	.stopping = (void *)flipped_stopping,
	.enable = (void *)flipped_enable,
	.init = (void *)flipped_init,
	.name = "flipped",
};
