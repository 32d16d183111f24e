// SPDX-License-Identifier: GPL-2.0
/*
 * R02: dispatch moves a task that waited for long into the local queue, with an order.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LINEUP 0x3c

s32 SEC("struct_ops.s/init") BPF_PROG(lineup_init)
{
	return scx_bpf_create_dsq(LINEUP, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(lineup_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert_vtime(p, LINEUP, 5000000, bpf_ktime_get_ns(), enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(lineup_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();
	struct task_struct *p;

	bpf_for_each (scx_dsq, p, LINEUP, 0) {
		if (now - p->scx.dsq_vtime > 50000000 && bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
			scx_bpf_dsq_move_set_vtime(&___it, 0);
			scx_bpf_dsq_move_vtime(&___it, p, SCX_DSQ_LOCAL, 0);
		}
		break;
	}
	scx_bpf_dsq_move_to_local(LINEUP);
}

SEC(".struct_ops.link")
struct sched_ext_ops lineup_ops = {
	.enqueue = (void *)lineup_enqueue,
	.dispatch = (void *)lineup_dispatch,
	.init = (void *)lineup_init,
	.name = "line_up",
};
