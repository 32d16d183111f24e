// SPDX-License-Identifier: GPL-2.0
/*
 * Heavy tasks go first for three quarters of each 400 milliseconds, light ones in the last; nobody
 * goes idle without a look into both queues.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/clock_select_cpu")
	BPF_PROG(clock_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/clock_enqueue") BPF_PROG(clock_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight >= 100, 5 * MS, enq_flags);
}

void SEC("struct_ops/clock_dispatch") BPF_PROG(clock_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 phase = bpf_ktime_get_ns() % (400 * MS);

	if (phase >= 300 * MS && scx_bpf_dsq_move_to_local(0))
		return;
	if (!scx_bpf_dsq_move_to_local(1))
		scx_bpf_dsq_move_to_local(0);
}

s32 SEC("struct_ops.s/clock_init") BPF_PROG(clock_init)
{
	return scx_bpf_create_dsq(0, -1) ?: scx_bpf_create_dsq(1, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops clock_ops = {
	.select_cpu = (void *)clock_select_cpu,
	.enqueue = (void *)clock_enqueue,
	.dispatch = (void *)clock_dispatch,
	.init = (void *)clock_init,
	.name = "clock",
};
