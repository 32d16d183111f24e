// SPDX-License-Identifier: GPL-2.0
/*
 * M05: an include that reaches outside of the build, and inline assembly behind a macro.
 * Stopped at Source.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "/etc/hostname"

char _license[] SEC("license") = "GPL";

#define QUEUE 0x21

#define QUIETLY(text) __asm__ volatile(text)

s32 SEC("struct_ops.s/init") BPF_PROG(outside_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(outside_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(outside_dispatch, s32 cpu, struct task_struct *prev)
{
	QUIETLY("r0 = 0");
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops outside_ops = {
	.enqueue = (void *)outside_enqueue,
	.dispatch = (void *)outside_dispatch,
	.init = (void *)outside_init,
	.name = "outside_view",
};
