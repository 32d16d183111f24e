// SPDX-License-Identifier: GPL-2.0
/*
 * R13: follows idle CPUs itself, which turns the kernel's following off, and asks the kernel.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TRACKED 0xc1

static u64 idle_times;

s32 SEC("struct_ops.s/init") BPF_PROG(tracked_init)
{
	return scx_bpf_create_dsq(TRACKED, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(tracked_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(tracked_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, TRACKED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(tracked_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TRACKED);
}

void SEC("struct_ops/update_idle") BPF_PROG(tracked_update_idle, s32 cpu, bool idle)
{
	if (idle)
		__sync_fetch_and_add(&idle_times, 1);
}

SEC(".struct_ops.link")
struct sched_ext_ops tracked_ops = {
	.select_cpu = (void *)tracked_select_cpu,
	.enqueue = (void *)tracked_enqueue,
	.dispatch = (void *)tracked_dispatch,
	.update_idle = (void *)tracked_update_idle,
	.init = (void *)tracked_init,
	.name = "tracks_idle",
};
