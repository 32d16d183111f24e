// SPDX-License-Identifier: GPL-2.0
/* One global queue in order of arrival: the least that a scheduler can be. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SHARED_DSQ 7

s32 SEC("struct_ops.s/init") BPF_PROG(fifo_init)
{
	return scx_bpf_create_dsq(SHARED_DSQ, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(fifo_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SHARED_DSQ, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(fifo_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SHARED_DSQ);
}

SEC(".struct_ops.link")
struct sched_ext_ops fifo_ops = {
	.init = (void *)fifo_init,
	.enqueue = (void *)fifo_enqueue,
	.dispatch = (void *)fifo_dispatch,
	.name = "minimal_fifo",
};
