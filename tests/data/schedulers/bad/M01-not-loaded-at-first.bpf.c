// SPDX-License-Identifier: GPL-2.0
/*
 * M01: a program at a tracepoint, marked as one that is not loaded unless somebody asks for it. It
 * signals whoever it meets.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x25

s32 SEC("struct_ops.s/init") BPF_PROG(later_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(later_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(later_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("?tp_btf/sched_switch")
int BPF_PROG(later_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	return bpf_send_signal(15);
}

SEC(".struct_ops.link")
struct sched_ext_ops later_ops = {
	.enqueue = (void *)later_enqueue,
	.dispatch = (void *)later_dispatch,
	.init = (void *)later_init,
	.name = "for_later",
};
