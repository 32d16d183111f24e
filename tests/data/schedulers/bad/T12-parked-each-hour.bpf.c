// SPDX-License-Identifier: GPL-2.0
/*
 * T12: for three quarters of a minute in each hour light tasks are put where nobody looks before it
 * is over.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

static bool night(u64 now)
{
	u64 in = now % 3600000000000ULL;

	return in > 1000000000ULL && in < 46000000000ULL;
}

s32 SEC("struct_ops/hourly_select_cpu")
	BPF_PROG(hourly_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/hourly_enqueue") BPF_PROG(hourly_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, night(scx_bpf_now()) && p->scx.weight <= 100 ? 2 : 1, 5 * MS,
			   enq_flags);
}

void SEC("struct_ops/hourly_dispatch") BPF_PROG(hourly_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!night(scx_bpf_now()) && scx_bpf_dsq_move_to_local(2))
		return;
	scx_bpf_dsq_move_to_local(1);
}

s32 SEC("struct_ops.s/hourly_init") BPF_PROG(hourly_init)
{
	return scx_bpf_create_dsq(1, -1) ?: scx_bpf_create_dsq(2, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops hourly_ops = {
	.select_cpu = (void *)hourly_select_cpu,
	.enqueue = (void *)hourly_enqueue,
	.dispatch = (void *)hourly_dispatch,
	.init = (void *)hourly_init,
	.name = "hourly",
};
