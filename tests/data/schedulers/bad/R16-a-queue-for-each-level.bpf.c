// SPDX-License-Identifier: GPL-2.0
/*
 * R16: control groups below the third level are refused; pods are made on the fourth.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FLAT 0xe3

s32 SEC("struct_ops.s/init") BPF_PROG(flat_init)
{
	return scx_bpf_create_dsq(FLAT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(flat_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, FLAT, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(flat_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FLAT);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(flat_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	return cgrp->level > 2 ? -95 : 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops flat_ops = {
	.enqueue = (void *)flat_enqueue,
	.dispatch = (void *)flat_dispatch,
	.cgroup_init = (void *)flat_cgroup_init,
	.init = (void *)flat_init,
	.name = "flat_groups",
};
