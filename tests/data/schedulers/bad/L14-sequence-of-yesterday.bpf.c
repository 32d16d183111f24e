// SPDX-License-Identifier: GPL-2.0
/*
 * L14: says which hotplug event it was written after; the kernel has seen none since boot.
 * Stopped at Source or Bytecode or Attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PLUGGED 0xad

s32 SEC("struct_ops.s/init") BPF_PROG(plugged_init)
{
	return scx_bpf_create_dsq(PLUGGED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(plugged_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, PLUGGED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(plugged_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(PLUGGED);
}

SEC(".struct_ops.link")
struct sched_ext_ops plugged_ops = {
	.enqueue = (void *)plugged_enqueue,
	.dispatch = (void *)plugged_dispatch,
	.init = (void *)plugged_init,
	.hotplug_seq = 41,
	.name = "plugged_in",
};
