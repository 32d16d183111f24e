// SPDX-License-Identifier: GPL-2.0
/*
 * R01: inserts into a queue that nobody created.
 * Stopped at Bytecode or Attach or Dynamic: the kernel ends it with kind 1024.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x21

s32 SEC("struct_ops.s/init") BPF_PROG(plain_init)
{
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(plain_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(plain_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops plain_ops = {
	.enqueue = (void *)plain_enqueue,
	.dispatch = (void *)plain_dispatch,
	.init = (void *)plain_init,
	.name = "plain_order",
};
