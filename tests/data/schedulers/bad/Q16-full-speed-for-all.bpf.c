// SPDX-License-Identifier: GPL-2.0
/*
 * Q16: asks for the highest frequency with every task that runs.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SPEED_Q 0x90

s32 SEC("struct_ops.s/init") BPF_PROG(speed_init)
{
	return scx_bpf_create_dsq(SPEED_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(speed_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SPEED_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(speed_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SPEED_Q);
}

void SEC("struct_ops/running") BPF_PROG(speed_running, struct task_struct *p)
{
	scx_bpf_cpuperf_set(scx_bpf_task_cpu(p), 1024);
}

SEC(".struct_ops.link")
struct sched_ext_ops speed_ops = {
	.enqueue = (void *)speed_enqueue,
	.dispatch = (void *)speed_dispatch,
	.running = (void *)speed_running,
	.init = (void *)speed_init,
	.name = "full_speed",
};
