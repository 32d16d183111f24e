// SPDX-License-Identifier: GPL-2.0
/*
 * L06: asks whether the kernel has one function and calls another, which it lacks.
 * Stopped at Source or Build or Bytecode or Attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define GUARDED 0x2d

void scx_bpf_dsq_move_all(u64 from, u64 to) __ksym __weak;

s32 SEC("struct_ops.s/init") BPF_PROG(guard_init)
{
	return scx_bpf_create_dsq(GUARDED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(guard_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, GUARDED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(guard_dispatch, s32 cpu, struct task_struct *prev)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local))
		scx_bpf_dsq_move_all(GUARDED, SCX_DSQ_LOCAL);
	scx_bpf_dsq_move_to_local(GUARDED);
}

SEC(".struct_ops.link")
struct sched_ext_ops guard_ops = {
	.enqueue = (void *)guard_enqueue,
	.dispatch = (void *)guard_dispatch,
	.init = (void *)guard_init,
	.name = "guarded_move",
};
