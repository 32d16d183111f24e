// SPDX-License-Identifier: GPL-2.0
/*
 * T06: every task stays with the CPU where it was, and waits in a queue of all CPUs of which none
 * is told; CPUs sleep on while tasks wait.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/stay_select_cpu")
	BPF_PROG(stay_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SEC("struct_ops/stay_enqueue") BPF_PROG(stay_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, 1, 5 * MS, enq_flags);
}

void SEC("struct_ops/stay_dispatch") BPF_PROG(stay_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(1);
}

s32 SEC("struct_ops.s/stay_init") BPF_PROG(stay_init)
{
	return scx_bpf_create_dsq(1, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops stay_ops = {
	.select_cpu = (void *)stay_select_cpu,
	.enqueue = (void *)stay_enqueue,
	.dispatch = (void *)stay_dispatch,
	.init = (void *)stay_init,
	.name = "stay",
};
