// SPDX-License-Identifier: GPL-2.0
/*
 * R11: slice and flags in the wrong order: the flags are all ones.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SWAPPED 0xa1

s32 SEC("struct_ops.s/init") BPF_PROG(swapped_init)
{
	return scx_bpf_create_dsq(SWAPPED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(swapped_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->scx.weight == 100)
		scx_bpf_dsq_insert(p, SWAPPED, SCX_SLICE_DFL, enq_flags);
	else
		scx_bpf_dsq_insert(p, SWAPPED, enq_flags, SCX_SLICE_INF);
}

void SEC("struct_ops/dispatch") BPF_PROG(swapped_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SWAPPED);
}

SEC(".struct_ops.link")
struct sched_ext_ops swapped_ops = {
	.enqueue = (void *)swapped_enqueue,
	.dispatch = (void *)swapped_dispatch,
	.init = (void *)swapped_init,
	.name = "exchanged",
};
