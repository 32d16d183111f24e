// SPDX-License-Identifier: GPL-2.0
/*
 * L03: dispatch reads the task that ran before, and there is none when the CPU was idle.
 * Stopped at Build or Bytecode: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LANE 0x70

s32 SEC("struct_ops.s/init") BPF_PROG(again_init)
{
	return scx_bpf_create_dsq(LANE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(again_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, LANE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(again_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(LANE))
		return;
	if (prev->scx.weight > 100)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC(".struct_ops.link")
struct sched_ext_ops again_ops = {
	.enqueue = (void *)again_enqueue,
	.dispatch = (void *)again_dispatch,
	.init = (void *)again_init,
	.name = "again_lane",
};
