// SPDX-License-Identifier: GPL-2.0
/*
 * M04: a second scheduler in the object, in a section for tables that are not registered at once.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x2f

s32 SEC("struct_ops.s/init") BPF_PROG(spare_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(spare_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(spare_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops spare_ops = {
	.enqueue = (void *)spare_enqueue,
	.dispatch = (void *)spare_dispatch,
	.init = (void *)spare_init,
	.name = "first_of_two",
};

void SEC("struct_ops/enqueue") BPF_PROG(second_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_INF, enq_flags);
}

SEC("?.struct_ops.link")
struct sched_ext_ops second_ops = {
	.enqueue = (void *)second_enqueue,
	.name = "second_of_two",
};
