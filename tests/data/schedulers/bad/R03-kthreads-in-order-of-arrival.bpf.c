// SPDX-License-Identifier: GPL-2.0
/*
 * R03: kernel threads go to the end of a queue that is ordered by virtual time for all others.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define MIXED 0x60

s32 SEC("struct_ops.s/init") BPF_PROG(mixed_init)
{
	return scx_bpf_create_dsq(MIXED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(mixed_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->flags & 0x00200000)
		scx_bpf_dsq_insert(p, MIXED, SCX_SLICE_DFL, enq_flags);
	else
		scx_bpf_dsq_insert_vtime(p, MIXED, SCX_SLICE_DFL, p->scx.dsq_vtime, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(mixed_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(MIXED);
}

void SEC("struct_ops/stopping") BPF_PROG(mixed_stopping, struct task_struct *p, bool runnable)
{
	p->scx.dsq_vtime += 1000;
}

SEC(".struct_ops.link")
struct sched_ext_ops mixed_ops = {
	.enqueue = (void *)mixed_enqueue,
	.dispatch = (void *)mixed_dispatch,
	.stopping = (void *)mixed_stopping,
	.init = (void *)mixed_init,
	.name = "mixed_order",
};
