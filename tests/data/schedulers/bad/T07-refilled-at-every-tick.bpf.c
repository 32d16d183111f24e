// SPDX-License-Identifier: GPL-2.0
/*
 * T07: every tick gives a task that has not slept a new slice: it never ends.
 * Stopped at Bytecode or Dynamic: with more hogs than CPUs.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TICKING 0xc6

s32 SEC("struct_ops.s/init") BPF_PROG(ticking_init)
{
	return scx_bpf_create_dsq(TICKING, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(ticking_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, TICKING, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(ticking_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TICKING);
}

void SEC("struct_ops/tick") BPF_PROG(ticking_tick, struct task_struct *p)
{
	if (p->scx.slice < SCX_SLICE_DFL / 2)
		p->scx.slice = SCX_SLICE_DFL;
}

SEC(".struct_ops.link")
struct sched_ext_ops ticking_ops = {
	.enqueue = (void *)ticking_enqueue,
	.dispatch = (void *)ticking_dispatch,
	.tick = (void *)ticking_tick,
	.init = (void *)ticking_init,
	.name = "keeps_ticking",
};
