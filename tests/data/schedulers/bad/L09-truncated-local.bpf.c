// SPDX-License-Identifier: GPL-2.0
/*
 * L09: the kernel's 64-bit queue id goes through 32 bits and names another queue.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x21

s32 SEC("struct_ops.s/init") BPF_PROG(here_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(here_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 local = (u32)SCX_DSQ_LOCAL;

	scx_bpf_dsq_insert(p, local, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(here_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops here_ops = {
	.enqueue = (void *)here_enqueue,
	.dispatch = (void *)here_dispatch,
	.init = (void *)here_init,
	.name = "stays_here",
};
