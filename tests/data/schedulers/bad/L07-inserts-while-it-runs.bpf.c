// SPDX-License-Identifier: GPL-2.0
/*
 * L07: puts a task on a queue when it begins to run, where no task may be queued.
 * Stopped at Build or Bytecode or Dynamic: 7.x refuses to load it, 6.x ends it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define NEXT 0x81

s32 SEC("struct_ops.s/init") BPF_PROG(next_init)
{
	return scx_bpf_create_dsq(NEXT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(next_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, NEXT, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(next_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(NEXT);
}

void SEC("struct_ops/running") BPF_PROG(next_running, struct task_struct *p)
{
	if (p->scx.weight > 1000)
		scx_bpf_dsq_insert(p, NEXT, SCX_SLICE_DFL, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops next_ops = {
	.enqueue = (void *)next_enqueue,
	.dispatch = (void *)next_dispatch,
	.running = (void *)next_running,
	.init = (void *)next_init,
	.name = "next_please",
};
