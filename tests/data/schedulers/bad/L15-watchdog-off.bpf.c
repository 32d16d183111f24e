// SPDX-License-Identifier: GPL-2.0
/*
 * L15: asks for the longest watchdog there is, and wears a trusted name.
 * Stopped at Source.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x21

s32 SEC("struct_ops.s/init") BPF_PROG(idle_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(idle_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(idle_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops idle_ops = {
	.enqueue = (void *)idle_enqueue,
	.dispatch = (void *)idle_dispatch,
	.init = (void *)idle_init,
	.timeout_ms = 30000,
	.name = "scx_rusty",
};
