// SPDX-License-Identifier: GPL-2.0
/*
 * R04: the queue of all control groups goes when the first of them goes.
 * Stopped at Bytecode or Dynamic: when a control group is removed.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define GROUP_Q 0x32

s32 SEC("struct_ops.s/init") BPF_PROG(grouped_init)
{
	return scx_bpf_create_dsq(GROUP_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(grouped_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, GROUP_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(grouped_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_nr_queued(GROUP_Q) > 0)
		scx_bpf_dsq_move_to_local(GROUP_Q);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(grouped_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	return 0;
}

void SEC("struct_ops.s/cgroup_exit") BPF_PROG(grouped_cgroup_exit, struct cgroup *cgrp)
{
	scx_bpf_destroy_dsq(GROUP_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops grouped_ops = {
	.enqueue = (void *)grouped_enqueue,
	.dispatch = (void *)grouped_dispatch,
	.cgroup_init = (void *)grouped_cgroup_init,
	.cgroup_exit = (void *)grouped_cgroup_exit,
	.init = (void *)grouped_init,
	.name = "grouped_queue",
};
