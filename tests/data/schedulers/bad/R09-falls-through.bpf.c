// SPDX-License-Identifier: GPL-2.0
/*
 * R09: select_cpu puts heavy tasks on the local queue, and forgets that it did when the CPU is
 * idle. Stopped at Bytecode or Dynamic: when a heavy task wakes on an idle machine.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUED 0x8b

s32 SEC("struct_ops.s/init") BPF_PROG(heavy_init)
{
	return scx_bpf_create_dsq(QUEUED, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(heavy_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (p->scx.weight > 100)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, SCX_ENQ_PREEMPT);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(heavy_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(heavy_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUED);
}

SEC(".struct_ops.link")
struct sched_ext_ops heavy_ops = {
	.select_cpu = (void *)heavy_select_cpu,
	.enqueue = (void *)heavy_enqueue,
	.dispatch = (void *)heavy_dispatch,
	.init = (void *)heavy_init,
	.name = "heavy_at_once",
};
