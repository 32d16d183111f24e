// SPDX-License-Identifier: GPL-2.0
/*
 * T14: a task always goes to the local queue of the CPU that it ran on before, idle or not. Beside
 * a real-time task that keeps that CPU it waits, while other CPUs have nothing to do.
 * Stopped at Bytecode or Dynamic: beside a real-time hog.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(athome_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	if ((wake_flags & SCX_WAKE_FORK) || !bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr))
		return bpf_cpumask_any_distribute(p->cpus_ptr);
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5000000, 0);
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(athome_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5000000, enq_flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops athome_ops = {
	.select_cpu = (void *)athome_select_cpu,
	.enqueue = (void *)athome_enqueue,
	.name = "stays_at_home",
};
