// SPDX-License-Identifier: GPL-2.0
/*
 * L15: the longest watchdog there is, worked out.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SECONDS(n) ((n) * 1000)
#define CALM	   0x22

s32 SEC("struct_ops.s/init") BPF_PROG(calm_init)
{
	return scx_bpf_create_dsq(CALM, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(calm_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, CALM, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(calm_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(CALM);
}

SEC(".struct_ops.link")
struct sched_ext_ops calm_ops = {
	.enqueue = (void *)calm_enqueue,
	.dispatch = (void *)calm_dispatch,
	.init = (void *)calm_init,
	.timeout_ms = SECONDS(15) + SECONDS(15),
	.name = "calm_waters",
};
