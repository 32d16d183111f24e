// SPDX-License-Identifier: GPL-2.0
/*
 * R10: when the task that wakes another is the heavier one, it is the one that is inserted; with
 * synchronous wake-ups of lighter tasks.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/wake_select_cpu")
	BPF_PROG(wake_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_struct *cur = bpf_get_current_task_btf(), *who = p;

	if (scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		if ((wake_flags & SCX_WAKE_SYNC) && cur->scx.weight > p->scx.weight)
			who = cur;
		scx_bpf_dsq_insert(who, SCX_DSQ_LOCAL, 5 * MS, 0);
	}
	return prev_cpu;
}

void SEC("struct_ops/wake_enqueue") BPF_PROG(wake_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC(".struct_ops.link")
struct sched_ext_ops wake_ops = {
	.select_cpu = (void *)wake_select_cpu,
	.enqueue = (void *)wake_enqueue,
	.name = "wake",
};
