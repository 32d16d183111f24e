// SPDX-License-Identifier: GPL-2.0
/*
 * L13: one new task in a hundred is not let in.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define DOOR 0xab

static u64 knocked;

s32 SEC("struct_ops.s/init") BPF_PROG(door_init)
{
	return scx_bpf_create_dsq(DOOR, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(door_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, DOOR, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(door_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(DOOR);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(door_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (args->fork && __sync_add_and_fetch(&knocked, 1) % 100 == 0)
		return -11;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops door_ops = {
	.enqueue = (void *)door_enqueue,
	.dispatch = (void *)door_dispatch,
	.init_task = (void *)door_init_task,
	.init = (void *)door_init,
	.name = "at_the_door",
};
