// SPDX-License-Identifier: GPL-2.0
/*
 * T13: beyond 150 tasks others go to a second queue, which is served only while more than a hundred
 * wait there; the last hundred wait for ever.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/tide_select_cpu")
	BPF_PROG(tide_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/tide_enqueue") BPF_PROG(tide_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 q = scx_bpf_dsq_nr_queued(1) > 150 ? 2 : 1;

	scx_bpf_dsq_insert(p, q, 5 * MS, enq_flags);
}

void SEC("struct_ops/tide_dispatch") BPF_PROG(tide_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_nr_queued(1) < 100 && scx_bpf_dsq_nr_queued(2) > 100)
		scx_bpf_dsq_move_to_local(2);
	else
		scx_bpf_dsq_move_to_local(1);
}

s32 SEC("struct_ops.s/tide_init") BPF_PROG(tide_init)
{
	return scx_bpf_create_dsq(1, -1) ?: scx_bpf_create_dsq(2, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops tide_ops = {
	.select_cpu = (void *)tide_select_cpu,
	.enqueue = (void *)tide_enqueue,
	.dispatch = (void *)tide_dispatch,
	.init = (void *)tide_init,
	.name = "tide",
};
