// SPDX-License-Identifier: GPL-2.0
/*
 * L08: a flag that kernels had up to 6.18 (there this is a good scheduler) and have no more.
 * Stopped at Source or Build.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FLAGGED 0x6d

s32 SEC("struct_ops.s/init") BPF_PROG(flagged_init)
{
	return scx_bpf_create_dsq(FLAGGED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(flagged_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, FLAGGED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(flagged_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FLAGGED);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(flagged_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops flagged_ops = {
	.enqueue = (void *)flagged_enqueue,
	.dispatch = (void *)flagged_dispatch,
	.cgroup_init = (void *)flagged_cgroup_init,
	.init = (void *)flagged_init,
	.flags = SCX_OPS_HAS_CGROUP_WEIGHT,
	.name = "flagged_groups",
};
