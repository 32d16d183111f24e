// SPDX-License-Identifier: GPL-2.0
/*
 * L01: enqueue follows a task's parents up to the first of all, however many there are.
 * Stopped at Build or Bytecode: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define ORDER 0x99

s32 SEC("struct_ops.s/init") BPF_PROG(family_init)
{
	return scx_bpf_create_dsq(ORDER, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(family_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_struct *ancestor = p;
	u64 depth = 0;

	while (ancestor->pid > 1) {
		ancestor = ancestor->real_parent;
		depth++;
	}
	scx_bpf_dsq_insert_vtime(p, ORDER, SCX_SLICE_DFL, depth, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(family_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(ORDER);
}

SEC(".struct_ops.link")
struct sched_ext_ops family_ops = {
	.enqueue = (void *)family_enqueue,
	.dispatch = (void *)family_dispatch,
	.init = (void *)family_init,
	.name = "family_order",
};
