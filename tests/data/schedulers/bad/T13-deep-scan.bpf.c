// SPDX-License-Identifier: GPL-2.0
/*
 * T13: what a CPU may run is found by looking through the first 32 of the common queue; behind more
 * than 32 that are bound elsewhere it is not, and the CPU goes to sleep beside it.
 * Stopped at Bytecode or Dynamic: with more than 32 tasks that are bound to another CPU.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SCANNED 0x6d8

s32 SEC("struct_ops.s/init") BPF_PROG(scan_init)
{
	return scx_bpf_create_dsq(SCANNED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(scan_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCANNED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(scan_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	u32 seen = 0;

	bpf_for_each (scx_dsq, p, SCANNED, 0) {
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr) &&
		    scx_bpf_dsq_move(&___it, p, SCX_DSQ_LOCAL, 0))
			return;
		if (++seen == 32)
			return;
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops scan_ops = {
	.enqueue = (void *)scan_enqueue,
	.dispatch = (void *)scan_dispatch,
	.init = (void *)scan_init,
	.name = "scans_ahead",
};
