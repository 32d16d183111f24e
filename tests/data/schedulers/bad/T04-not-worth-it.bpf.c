// SPDX-License-Identifier: GPL-2.0
/*
 * T04: asks for tasks on their way out and does nothing for them.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define STAYING 0x93

enum { EXITING = 0x4 };

s32 SEC("struct_ops.s/init") BPF_PROG(staying_init)
{
	return scx_bpf_create_dsq(STAYING, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(staying_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->flags & EXITING)
		return;
	scx_bpf_dsq_insert(p, STAYING, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(staying_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(STAYING);
}

SEC(".struct_ops.link")
struct sched_ext_ops staying_ops = {
	.enqueue = (void *)staying_enqueue,
	.dispatch = (void *)staying_dispatch,
	.init = (void *)staying_init,
	.flags = SCX_OPS_ENQ_EXITING | SCX_OPS_KEEP_BUILTIN_IDLE,
	.name = "only_the_living",
};
