// SPDX-License-Identifier: GPL-2.0
/*
 * T07: the slice grows with the weight, and for the heaviest it is longer than an hour.
 * Stopped at Bytecode or Dynamic: with hogs of nice -20.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define GROWING 0xc5

s32 SEC("struct_ops.s/init") BPF_PROG(growing_init)
{
	return scx_bpf_create_dsq(GROWING, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(growing_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 weight = p->scx.weight, slice = 50000 * weight;

	if (weight > 1000)
		slice = weight * weight * 100000;
	scx_bpf_dsq_insert(p, GROWING, slice, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(growing_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(GROWING);
}

SEC(".struct_ops.link")
struct sched_ext_ops growing_ops = {
	.enqueue = (void *)growing_enqueue,
	.dispatch = (void *)growing_dispatch,
	.init = (void *)growing_init,
	.name = "growing_slices",
};
