// SPDX-License-Identifier: GPL-2.0
/*
 * Earliest deadline first. The deadline is the time of arrival plus an allowance by weight, at most
 * `allowance_most_ns`: whoever waits is overtaken by later arrivals for that long at most.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define DEADLINES 0x44

const volatile u64 slice_ns = 4000000;
const volatile u64 allowance_ns = 20000000;
const volatile u64 allowance_most_ns = 600000000;

static u64 allowance(const struct task_struct *p)
{
	u64 wanted = allowance_ns * 100 / (p->scx.weight ?: 1);

	return wanted < allowance_most_ns ? wanted : allowance_most_ns;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(edf_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(edf_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert_vtime(p, DEADLINES, slice_ns, bpf_ktime_get_ns() + allowance(p),
				 enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(edf_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(DEADLINES);
}

s32 SEC("struct_ops.s/init") BPF_PROG(edf_init)
{
	return scx_bpf_create_dsq(DEADLINES, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops edf_ops = {
	.select_cpu = (void *)edf_select_cpu,
	.enqueue = (void *)edf_enqueue,
	.dispatch = (void *)edf_dispatch,
	.init = (void *)edf_init,
	.timeout_ms = 9000,
	.name = "arrival_deadline",
};
