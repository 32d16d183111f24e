// SPDX-License-Identifier: GPL-2.0
/*
 * L12: two names for one queue: the second time it exists already.
 * Stopped at Bytecode or Attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { URGENT_QUEUE = 0x1f, ORDINARY_QUEUE = 31 };

s32 SEC("struct_ops.s/init") BPF_PROG(twice_init)
{
	s32 err = scx_bpf_create_dsq(URGENT_QUEUE, -1);

	return err ?: scx_bpf_create_dsq(ORDINARY_QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(twice_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, ORDINARY_QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(twice_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!scx_bpf_dsq_move_to_local(URGENT_QUEUE))
		scx_bpf_dsq_move_to_local(ORDINARY_QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops twice_ops = {
	.enqueue = (void *)twice_enqueue,
	.dispatch = (void *)twice_dispatch,
	.init = (void *)twice_init,
	.name = "two_names",
};
