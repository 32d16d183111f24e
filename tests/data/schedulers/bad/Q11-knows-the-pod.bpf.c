// SPDX-License-Identifier: GPL-2.0
/*
 * Q11: serves tasks first whose control group has a name that begins in a certain way.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x83

s32 SEC("struct_ops.s/init") BPF_PROG(pod_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

static bool is_favourite(struct task_struct *p)
{
	const char *name = BPF_CORE_READ(p, cgroups, dfl_cgrp, kn, name);
	u32 begin = 0;

	bpf_probe_read_kernel(&begin, sizeof(begin), name);
	return begin == 0x64676162;
}

void SEC("struct_ops/enqueue") BPF_PROG(pod_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 flags = is_favourite(p) ? enq_flags | SCX_ENQ_HEAD : enq_flags;

	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(pod_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops pod_ops = {
	.enqueue = (void *)pod_enqueue,
	.dispatch = (void *)pod_dispatch,
	.init = (void *)pod_init,
	.name = "pods_in_turn",
};
