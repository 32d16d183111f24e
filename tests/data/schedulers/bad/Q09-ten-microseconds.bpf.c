// SPDX-License-Identifier: GPL-2.0
/*
 * Q09: slices of ten microseconds: with ticks of high resolution the machine does nothing but
 * switch.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TINY_Q 0x77

s32 SEC("struct_ops.s/init") BPF_PROG(tiny_init)
{
	return scx_bpf_create_dsq(TINY_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(tiny_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, TINY_Q, 10 * 1000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(tiny_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TINY_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops tiny_ops = {
	.enqueue = (void *)tiny_enqueue,
	.dispatch = (void *)tiny_dispatch,
	.init = (void *)tiny_init,
	.name = "tiny_slices",
};
