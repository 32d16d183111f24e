// SPDX-License-Identifier: GPL-2.0
/*
 * L05: a control group is held on to for every task of a light one.
 * Stopped at Build or Bytecode: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SHARED 0x9e

s32 SEC("struct_ops.s/init") BPF_PROG(held_init)
{
	return scx_bpf_create_dsq(SHARED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(held_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);

	if (cgrp->kn->id == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, SHARED, SCX_SLICE_DFL, enq_flags);
	bpf_cgroup_release(cgrp);
}

void SEC("struct_ops/dispatch") BPF_PROG(held_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SHARED);
}

SEC(".struct_ops.link")
struct sched_ext_ops held_ops = {
	.enqueue = (void *)held_enqueue,
	.dispatch = (void *)held_dispatch,
	.init = (void *)held_init,
	.name = "group_aware",
};
