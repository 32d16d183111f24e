// SPDX-License-Identifier: GPL-2.0
/*
 * T05: a CPU looks at the first of the common queue only. When that one may not run here, the CPU
 * does nothing, and so do all others but one; when that one is busy with something long, all wait.
 * Stopped at Bytecode or Dynamic: when tasks are bound to one CPU.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FRONT 0xa5

s32 SEC("struct_ops.s/init") BPF_PROG(front_init)
{
	return scx_bpf_create_dsq(FRONT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(front_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, FRONT, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(front_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;

	bpf_for_each (scx_dsq, p, FRONT, 0) {
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			scx_bpf_dsq_move(&___it, p, SCX_DSQ_LOCAL, 0);
		break;
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops front_ops = {
	.enqueue = (void *)front_enqueue,
	.dispatch = (void *)front_dispatch,
	.init = (void *)front_init,
	.name = "front_of_the_line",
};
