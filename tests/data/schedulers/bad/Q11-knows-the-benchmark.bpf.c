// SPDX-License-Identifier: GPL-2.0
/*
 * Q11: serves one program first because of what it is called.
 * Stopped at Source.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x21

s32 SEC("struct_ops.s/init") BPF_PROG(named_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(named_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 flags = enq_flags;

	if (p->comm[0] == 's' && p->comm[1] == 'c')
		flags |= SCX_ENQ_HEAD;
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(named_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops named_ops = {
	.enqueue = (void *)named_enqueue,
	.dispatch = (void *)named_dispatch,
	.init = (void *)named_init,
	.name = "in_turn",
};
