// SPDX-License-Identifier: GPL-2.0
/*
 * L09: gathers enqueue flags in 32 bits: the kernel's PREEMPT is the 33rd, and nobody is preempted.
 * Stopped at Source or Build or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PUSHY 0x302

s32 SEC("struct_ops.s/init") BPF_PROG(pushy_init)
{
	return scx_bpf_create_dsq(PUSHY, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(pushy_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 extra = 0;

	if (p->scx.weight > 500)
		extra |= SCX_ENQ_PREEMPT;
	scx_bpf_dsq_insert(p, extra ? SCX_DSQ_LOCAL : PUSHY, SCX_SLICE_DFL, enq_flags | extra);
}

void SEC("struct_ops/dispatch") BPF_PROG(pushy_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(PUSHY);
}

SEC(".struct_ops.link")
struct sched_ext_ops pushy_ops = {
	.enqueue = (void *)pushy_enqueue,
	.dispatch = (void *)pushy_dispatch,
	.init = (void *)pushy_init,
	.name = "pushes_in",
};
