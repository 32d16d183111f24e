// SPDX-License-Identifier: GPL-2.0
/*
 * L07: takes back a CPU's local tasks at every tick, which only ops.cpu_release may.
 * Stopped at Build or Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BACK 0x83

s32 SEC("struct_ops.s/init") BPF_PROG(back_init)
{
	return scx_bpf_create_dsq(BACK, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(back_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, BACK, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(back_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BACK);
}

void SEC("struct_ops/tick") BPF_PROG(back_tick, struct task_struct *p)
{
	scx_bpf_reenqueue_local();
}

SEC(".struct_ops.link")
struct sched_ext_ops back_ops = {
	.enqueue = (void *)back_enqueue,
	.dispatch = (void *)back_dispatch,
	.tick = (void *)back_tick,
	.init = (void *)back_init,
	.name = "back_to_line",
};
