// SPDX-License-Identifier: GPL-2.0
/*
 * Q16: asks for what the CPU can do at most, also when it falls idle.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HOT_Q 0x91

s32 SEC("struct_ops.s/init") BPF_PROG(hot_init)
{
	return scx_bpf_create_dsq(HOT_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(hot_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, HOT_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(hot_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(HOT_Q);
}

void SEC("struct_ops/update_idle") BPF_PROG(hot_update_idle, s32 cpu, bool idle)
{
	scx_bpf_cpuperf_set(cpu, scx_bpf_cpuperf_cap(cpu));
}

SEC(".struct_ops.link")
struct sched_ext_ops hot_ops = {
	.enqueue = (void *)hot_enqueue,
	.dispatch = (void *)hot_dispatch,
	.update_idle = (void *)hot_update_idle,
	.init = (void *)hot_init,
	.flags = SCX_OPS_KEEP_BUILTIN_IDLE,
	.name = "always_hot",
};
