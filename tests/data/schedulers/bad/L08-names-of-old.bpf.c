// SPDX-License-Identifier: GPL-2.0
/*
 * L08: the names that kernels had before 6.13, undeclared.
 * Stopped at Source or Build.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OLD 0x6b

s32 SEC("struct_ops.s/init") BPF_PROG(old_init)
{
	return scx_bpf_create_dsq(OLD, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(old_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dispatch(p, OLD, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(old_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_consume(OLD);
}

SEC(".struct_ops.link")
struct sched_ext_ops old_ops = {
	.enqueue = (void *)old_enqueue,
	.dispatch = (void *)old_dispatch,
	.init = (void *)old_init,
	.name = "old_names",
};
