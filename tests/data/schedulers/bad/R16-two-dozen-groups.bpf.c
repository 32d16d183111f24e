// SPDX-License-Identifier: GPL-2.0
/*
 * R16: room for 24 control groups; the next one, and with it the next pod, cannot be made.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PODS 0xe1

static u64 groups;

s32 SEC("struct_ops.s/init") BPF_PROG(pods_init)
{
	return scx_bpf_create_dsq(PODS, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(pods_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, PODS, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(pods_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(PODS);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(pods_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	if (__sync_add_and_fetch(&groups, 1) > 24)
		return -28;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops pods_ops = {
	.enqueue = (void *)pods_enqueue,
	.dispatch = (void *)pods_dispatch,
	.cgroup_init = (void *)pods_cgroup_init,
	.init = (void *)pods_init,
	.name = "pods_and_groups",
};
