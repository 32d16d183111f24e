// SPDX-License-Identifier: GPL-2.0
/*
 * T08: the lighter a task the later its deadline, with the square of its weight: a minute and more
 * for nice tasks, in which everybody else goes first.
 * Stopped at Bytecode or Dynamic: on a machine that is busy for long.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define DUE_Q 0x1d2

s32 SEC("struct_ops.s/init") BPF_PROG(due_init)
{
	return scx_bpf_create_dsq(DUE_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(due_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 weight = p->scx.weight ?: 1;
	u64 deadline = bpf_ktime_get_ns() + 80000000000ULL / (weight * weight);

	scx_bpf_dsq_insert_vtime(p, DUE_Q, 5000000, deadline, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(due_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(DUE_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops due_ops = {
	.enqueue = (void *)due_enqueue,
	.dispatch = (void *)due_dispatch,
	.init = (void *)due_init,
	.name = "due_by_square",
};
