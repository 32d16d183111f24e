// SPDX-License-Identifier: GPL-2.0
/*
 * T08: the task that has used most CPU time goes first, and whoever comes later has used less.
 * Stopped at Bytecode or Dynamic: on a machine that is busy for long.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LENGTH_Q 0x1d3

s32 SEC("struct_ops.s/init") BPF_PROG(length_init)
{
	return scx_bpf_create_dsq(LENGTH_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(length_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 order = (1ULL << 60) - p->se.sum_exec_runtime;

	scx_bpf_dsq_insert_vtime(p, LENGTH_Q, SCX_SLICE_DFL, order, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(length_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(LENGTH_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops length_ops = {
	.enqueue = (void *)length_enqueue,
	.dispatch = (void *)length_dispatch,
	.init = (void *)length_init,
	.name = "longest_job_first",
};
