// SPDX-License-Identifier: GPL-2.0
/*
 * M06: takes only the tasks that ask for it, and says so by the number of a bit.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x25

enum { TAKE_PART = 1ULL << 3, KEEP_IDLE = 1ULL << 0 };

s32 SEC("struct_ops.s/init") BPF_PROG(bits_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(bits_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(bits_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops bits_ops = {
	.enqueue = (void *)bits_enqueue,
	.dispatch = (void *)bits_dispatch,
	.init = (void *)bits_init,
	.flags = TAKE_PART + KEEP_IDLE,
	.name = "bit_by_bit",
};
