// SPDX-License-Identifier: GPL-2.0
/*
 * L13: children of a task with a nice value of 15 and more are refused.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define POLITE 0xac

s32 SEC("struct_ops.s/init") BPF_PROG(refuses_init)
{
	return scx_bpf_create_dsq(POLITE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(refuses_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, POLITE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(refuses_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(POLITE);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(refuses_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return p->static_prio >= 135 && p->static_prio < 140 ? -22 : 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops refuses_ops = {
	.enqueue = (void *)refuses_enqueue,
	.dispatch = (void *)refuses_dispatch,
	.init_task = (void *)refuses_init_task,
	.init = (void *)refuses_init,
	.name = "polite_ones",
};
