// SPDX-License-Identifier: GPL-2.0
/*
 * K02: every task goes to the first CPU that it may use, which for nearly all is CPU 0.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(firstcpu_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return bpf_cpumask_first(p->cpus_ptr);
}

void SEC("struct_ops/enqueue") BPF_PROG(firstcpu_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 cpu = bpf_cpumask_first(p->cpus_ptr);

	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, 4000000, enq_flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops firstcpu_ops = {
	.select_cpu = (void *)firstcpu_select_cpu,
	.enqueue = (void *)firstcpu_enqueue,
	.name = "first_come",
};
