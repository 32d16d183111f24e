// SPDX-License-Identifier: GPL-2.0
/*
 * L07: makes a queue for each new weight as it comes along, where nothing may sleep.
 * Stopped at Build or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BY_WEIGHT 0x10000

s32 SEC("struct_ops.s/init") BPF_PROG(weight_init)
{
	return scx_bpf_create_dsq(BY_WEIGHT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(weight_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, BY_WEIGHT, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(weight_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BY_WEIGHT);
}

void SEC("struct_ops/set_weight") BPF_PROG(weight_set_weight, struct task_struct *p, u32 weight)
{
	scx_bpf_create_dsq(BY_WEIGHT + weight, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops weight_ops = {
	.enqueue = (void *)weight_enqueue,
	.dispatch = (void *)weight_dispatch,
	.set_weight = (void *)weight_set_weight,
	.init = (void *)weight_init,
	.name = "queue_by_weight",
};
