// SPDX-License-Identifier: GPL-2.0
/*
 * Order of arrival. A waking task takes an idle CPU at once where there is one; else it waits in
 * the one queue, and a CPU that fell idle in the meantime is woken for it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LANE 0x10

const volatile u64 slice_ns = 10000000;

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(woken_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(woken_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, LANE, slice_ns, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(woken_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(LANE);
}

s32 SEC("struct_ops.s/init") BPF_PROG(woken_init)
{
	return scx_bpf_create_dsq(LANE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops woken_ops = {
	.select_cpu = (void *)woken_select_cpu,
	.enqueue = (void *)woken_enqueue,
	.dispatch = (void *)woken_dispatch,
	.init = (void *)woken_init,
	.name = "woken_to_idle",
};
