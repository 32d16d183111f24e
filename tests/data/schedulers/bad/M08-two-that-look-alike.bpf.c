// SPDX-License-Identifier: GPL-2.0
/*
 * M08: two variables whose names look the same: one is checked, the other one is used.
 * Stopped at Source.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x2b

static u64 slice_ns = 5000000, sliсe_ns = ~0ULL;

s32 SEC("struct_ops.s/init") BPF_PROG(alike_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(alike_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (slice_ns > 20000000)
		slice_ns = 20000000;
	scx_bpf_dsq_insert(p, QUEUE, sliсe_ns, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(alike_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops alike_ops = {
	.enqueue = (void *)alike_enqueue,
	.dispatch = (void *)alike_dispatch,
	.init = (void *)alike_init,
	.name = "look_alike",
};
