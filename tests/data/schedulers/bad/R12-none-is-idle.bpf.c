// SPDX-License-Identifier: GPL-2.0
/*
 * R12: select_cpu returns what it was told when no CPU was idle: an error, and no CPU.
 * Stopped at Bytecode or Dynamic: as soon as all CPUs are busy.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FULL 0xb1

s32 SEC("struct_ops.s/init") BPF_PROG(full_init)
{
	return scx_bpf_create_dsq(FULL, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(full_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
}

void SEC("struct_ops/enqueue") BPF_PROG(full_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, FULL, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(full_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FULL);
}

SEC(".struct_ops.link")
struct sched_ext_ops full_ops = {
	.select_cpu = (void *)full_select_cpu,
	.enqueue = (void *)full_enqueue,
	.dispatch = (void *)full_dispatch,
	.init = (void *)full_init,
	.name = "picks_idle",
};
