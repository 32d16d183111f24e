// SPDX-License-Identifier: GPL-2.0
/*
 * untold_stall: a FIFO that soon hands out no task at all, and records nothing of its end.
 *
 * For tests: it has no `schedcp_exit` map, so that why the kernel ejected it ("runnable task
 * stall", kind 1026) can only be learnt from the kernel's log. Never for production.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum untold_consts {
	UNTOLD_DSQ = 0,
	HEALTHY_NS = 1000000000ULL,
};

u64 started_at;

SEC("struct_ops/untold_stall_enqueue")
void BPF_PROG(untold_stall_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, UNTOLD_DSQ, SCX_SLICE_DFL, enq_flags);
}

SEC("struct_ops/untold_stall_dispatch")
void BPF_PROG(untold_stall_dispatch, s32 cpu, struct task_struct *prev)
{
	if (bpf_ktime_get_ns() - started_at < HEALTHY_NS)
		scx_bpf_dsq_move_to_local(UNTOLD_DSQ);
}

SEC("struct_ops.s/untold_stall_init")
s32 BPF_PROG(untold_stall_init)
{
	started_at = bpf_ktime_get_ns();
	return scx_bpf_create_dsq(UNTOLD_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops untold_stall_ops = {
	.enqueue = (void *)untold_stall_enqueue,
	.dispatch = (void *)untold_stall_dispatch,
	.init = (void *)untold_stall_init,
	.timeout_ms = 3000,
	.name = "schedcp_untold",
};
