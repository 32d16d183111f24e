// SPDX-License-Identifier: GPL-2.0
/*
 * Looks for an idle CPU among the first eight one by one, in a loop that the compiler unrolls, and
 * then among all that the task may use.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/eight_select_cpu")
	BPF_PROG(eight_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 nr = scx_bpf_nr_cpu_ids();
	s32 i, cpu;

	if (scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
		return prev_cpu;
	}
#pragma unroll
	for (i = 0; i < 8; i++) {
		if (i < nr && bpf_cpumask_test_cpu(i, p->cpus_ptr) &&
		    scx_bpf_test_and_clear_cpu_idle(i)) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
			return i;
		}
	}
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu < 0)
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/eight_enqueue") BPF_PROG(eight_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops eight_ops = {
	.select_cpu = (void *)eight_select_cpu,
	.enqueue = (void *)eight_enqueue,
	.name = "eight",
};
