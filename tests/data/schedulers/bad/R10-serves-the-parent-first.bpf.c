// SPDX-License-Identifier: GPL-2.0
/*
 * R10: when a child is enqueued its parent is, too, which is not being enqueued at all.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FAMILY 0x91

s32 SEC("struct_ops.s/init") BPF_PROG(parent_init)
{
	return scx_bpf_create_dsq(FAMILY, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(parent_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (!(enq_flags & SCX_ENQ_WAKEUP) && p->real_parent->pid > 2)
		scx_bpf_dsq_insert(p->real_parent, FAMILY, SCX_SLICE_DFL, enq_flags);
	else
		scx_bpf_dsq_insert(p, FAMILY, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(parent_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FAMILY);
}

SEC(".struct_ops.link")
struct sched_ext_ops parent_ops = {
	.enqueue = (void *)parent_enqueue,
	.dispatch = (void *)parent_dispatch,
	.init = (void *)parent_init,
	.name = "parents_first",
};
