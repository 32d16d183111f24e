// SPDX-License-Identifier: GPL-2.0
/*
 * Q01: each task that wakes goes to the next of its CPUs in turn, and stays there, whether that one
 * is idle or has a crowd already.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/turn_select_cpu")
	BPF_PROG(turn_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = bpf_cpumask_any_distribute(p->cpus_ptr);

	if ((u32)cpu >= scx_bpf_nr_cpu_ids())
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/turn_enqueue") BPF_PROG(turn_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops turn_ops = {
	.select_cpu = (void *)turn_select_cpu,
	.enqueue = (void *)turn_enqueue,
	.name = "turn",
};
