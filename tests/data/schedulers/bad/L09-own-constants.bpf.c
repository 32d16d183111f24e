// SPDX-License-Identifier: GPL-2.0
/*
 * L09: writes the kernel's constants down again under names of its own, as a compiler without
 * 64-bit enums would have them: 0 for the local queue, 1 for the flag to preempt.
 * Stopped at Bytecode or Dynamic: queue 0 is nobody's.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { LOCAL_DSQ = (u32)(1ULL << 63), BACKLOG = 0x303 };

s32 SEC("struct_ops.s/init") BPF_PROG(consts_init)
{
	return scx_bpf_create_dsq(BACKLOG, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(consts_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, LOCAL_DSQ, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(consts_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, BACKLOG, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(consts_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BACKLOG);
}

SEC(".struct_ops.link")
struct sched_ext_ops consts_ops = {
	.select_cpu = (void *)consts_select_cpu,
	.enqueue = (void *)consts_enqueue,
	.dispatch = (void *)consts_dispatch,
	.init = (void *)consts_init,
	.name = "own_constants",
};
