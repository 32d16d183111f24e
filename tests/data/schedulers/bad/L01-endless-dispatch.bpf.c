// SPDX-License-Identifier: GPL-2.0
/*
 * L01: dispatch loops for as long as something is queued, which has no bound.
 * Stopped at Build: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x21

s32 SEC("struct_ops.s/init") BPF_PROG(drain_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(drain_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(drain_dispatch, s32 cpu, struct task_struct *prev)
{
	while (scx_bpf_dsq_nr_queued(QUEUE) >= 0)
		scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops drain_ops = {
	.enqueue = (void *)drain_enqueue,
	.dispatch = (void *)drain_dispatch,
	.init = (void *)drain_init,
	.name = "drains_everything",
};
