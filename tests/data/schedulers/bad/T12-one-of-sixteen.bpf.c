// SPDX-License-Identifier: GPL-2.0
/*
 * T12: light tasks are served but for one of sixteen phases of half a minute each.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/phase_select_cpu")
	BPF_PROG(phase_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/phase_enqueue") BPF_PROG(phase_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? 2 : 1, 5 * MS, enq_flags);
}

void SEC("struct_ops/phase_dispatch") BPF_PROG(phase_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 phase = (bpf_ktime_get_boot_ns() >> 35) & 15;

	if (phase != 7 && (bpf_get_prandom_u32() & 1) && scx_bpf_dsq_move_to_local(2))
		return;
	if (scx_bpf_dsq_move_to_local(1))
		return;
	if (phase != 7)
		scx_bpf_dsq_move_to_local(2);
}

s32 SEC("struct_ops.s/phase_init") BPF_PROG(phase_init)
{
	return scx_bpf_create_dsq(1, -1) ?: scx_bpf_create_dsq(2, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops phase_ops = {
	.select_cpu = (void *)phase_select_cpu,
	.enqueue = (void *)phase_enqueue,
	.dispatch = (void *)phase_dispatch,
	.init = (void *)phase_init,
	.name = "phase",
};
