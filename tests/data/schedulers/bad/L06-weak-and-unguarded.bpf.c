// SPDX-License-Identifier: GPL-2.0
/*
 * L06: declares a function that the kernel lacks as one that may be missing, and calls it anyway.
 * Stopped at Source or Build or Bytecode or Attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define KEPT 0x2c

bool scx_bpf_dsq_contains(u64 dsq_id, struct task_struct *p) __ksym __weak;

s32 SEC("struct_ops.s/init") BPF_PROG(kept_init)
{
	return scx_bpf_create_dsq(KEPT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(kept_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, KEPT, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(kept_dispatch, s32 cpu, struct task_struct *prev)
{
	if (prev && scx_bpf_dsq_contains(KEPT, prev))
		return;
	scx_bpf_dsq_move_to_local(KEPT);
}

SEC(".struct_ops.link")
struct sched_ext_ops kept_ops = {
	.enqueue = (void *)kept_enqueue,
	.dispatch = (void *)kept_dispatch,
	.init = (void *)kept_init,
	.name = "kept_in_line",
};
