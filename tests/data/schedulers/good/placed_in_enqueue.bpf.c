// SPDX-License-Identifier: GPL-2.0
/*
 * Looks for an idle CPU only when a task is queued, however it came there, and puts it straight on
 * that CPU.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/late_select_cpu")
	BPF_PROG(late_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SEC("struct_ops/late_enqueue") BPF_PROG(late_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_select_cpu_and(p, scx_bpf_task_cpu(p), 0, p->cpus_ptr, 0);

	if (cpu >= 0 && !p->migration_disabled) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, 5 * MS, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, 8, 5 * MS, enq_flags);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/late_dispatch") BPF_PROG(late_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(8);
}

s32 SEC("struct_ops.s/late_init") BPF_PROG(late_init)
{
	return scx_bpf_create_dsq(8, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops late_ops = {
	.select_cpu = (void *)late_select_cpu,
	.enqueue = (void *)late_enqueue,
	.dispatch = (void *)late_dispatch,
	.init = (void *)late_init,
	.name = "late",
};
