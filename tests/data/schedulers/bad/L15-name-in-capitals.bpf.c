// SPDX-License-Identifier: GPL-2.0
/*
 * L15: a trusted name in other letters, out of two pieces.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x24
#define MAKER "Sched"

s32 SEC("struct_ops.s/init") BPF_PROG(shout_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(shout_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(shout_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops shout_ops = {
	.init = (void *)shout_init,
	.enqueue = (void *)shout_enqueue,
	.dispatch = (void *)shout_dispatch,
	.name = MAKER "CP_simple_fifo",
};
