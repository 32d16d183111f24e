// SPDX-License-Identifier: GPL-2.0
/*
 * T15: yielding does nothing: whoever yields in a loop until another has run, runs on, and on each
 * tick it has a new slice.
 * Stopped at Bytecode or Dynamic: beside enough tasks that yield.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define NOTHING_Q 0x8f1

s32 SEC("struct_ops.s/init") BPF_PROG(nothing_init)
{
	return scx_bpf_create_dsq(NOTHING_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(nothing_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, NOTHING_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(nothing_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(NOTHING_Q);
}

bool SEC("struct_ops/yield")
	BPF_PROG(nothing_yield, struct task_struct *from, struct task_struct *to)
{
	from->scx.slice = SCX_SLICE_DFL;
	return false;
}

SEC(".struct_ops.link")
struct sched_ext_ops nothing_ops = {
	.enqueue = (void *)nothing_enqueue,
	.dispatch = (void *)nothing_dispatch,
	.yield = (void *)nothing_yield,
	.init = (void *)nothing_init,
	.name = "never_mind",
};
