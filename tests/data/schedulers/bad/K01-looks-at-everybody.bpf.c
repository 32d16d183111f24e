// SPDX-License-Identifier: GPL-2.0
/*
 * K01: each dispatch walks the whole queue, however long, first to count whom this CPU may run and
 * then to find the lightest of them.
 * Stopped at Bytecode or Dynamic: with thousands of tasks bound to one CPU.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WALKED 0x14

s32 SEC("struct_ops.s/init") BPF_PROG(walks_init)
{
	return scx_bpf_create_dsq(WALKED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(walks_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WALKED, 2000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(walks_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	u64 mine = 0;

	bpf_for_each (scx_dsq, p, WALKED, 0) {
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			mine++;
	}
	if (!mine)
		return;
	bpf_for_each (scx_dsq, p, WALKED, SCX_DSQ_ITER_REV) {
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr) && mine-- == 1 &&
		    scx_bpf_dsq_move(&___it, p, SCX_DSQ_LOCAL, 0))
			return;
	}
	scx_bpf_dsq_move_to_local(WALKED);
}

SEC(".struct_ops.link")
struct sched_ext_ops walks_ops = {
	.enqueue = (void *)walks_enqueue,
	.dispatch = (void *)walks_dispatch,
	.init = (void *)walks_init,
	.name = "walks_along",
};
