// SPDX-License-Identifier: GPL-2.0
/*
 * R11: adds the order to the flags, of which the upper ones are the kernel's own.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TAGGED 0xa2

s32 SEC("struct_ops.s/init") BPF_PROG(tagged_init)
{
	return scx_bpf_create_dsq(TAGGED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(tagged_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 tag = (u64)p->scx.weight << 48;

	scx_bpf_dsq_insert(p, TAGGED, 5000000, enq_flags | tag);
}

void SEC("struct_ops/dispatch") BPF_PROG(tagged_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TAGGED);
}

SEC(".struct_ops.link")
struct sched_ext_ops tagged_ops = {
	.enqueue = (void *)tagged_enqueue,
	.dispatch = (void *)tagged_dispatch,
	.init = (void *)tagged_init,
	.name = "tags_tasks",
};
