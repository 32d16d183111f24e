// SPDX-License-Identifier: GPL-2.0
/*
 * M08: marks of writing direction make the check of the slice look like a comment's end and its
 * neighbour: what a person reads is not what the compiler does.
 * Stopped at Source.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x2a

s32 SEC("struct_ops.s/init") BPF_PROG(reads_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(reads_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 slice = SCX_SLICE_DFL;

	/* Heavy tasks only ‮ } ⁦if (p->scx.weight > 1000)⁩ ⁦ begin */
	slice = SCX_SLICE_INF;
	/* end ‮ { ⁦*/
	scx_bpf_dsq_insert(p, QUEUE, slice, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(reads_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops reads_ops = {
	.enqueue = (void *)reads_enqueue,
	.dispatch = (void *)reads_dispatch,
	.init = (void *)reads_init,
	.name = "reads_well",
};
