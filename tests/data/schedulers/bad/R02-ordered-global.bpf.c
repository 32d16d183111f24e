// SPDX-License-Identifier: GPL-2.0
/*
 * R02: orders the kernel's global queue by virtual time, which it cannot be.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

void SEC("struct_ops/enqueue") BPF_PROG(global_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 now = bpf_ktime_get_ns();

	scx_bpf_dsq_insert_vtime(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, now, enq_flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops global_ops = {
	.enqueue = (void *)global_enqueue,
	.name = "ordered_global",
};
