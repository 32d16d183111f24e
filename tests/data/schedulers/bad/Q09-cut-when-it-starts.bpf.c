// SPDX-License-Identifier: GPL-2.0
/*
 * Q09: tasks are queued with five milliseconds, and all but nine microseconds of them are taken
 * away when a task begins to run.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/trim_select_cpu")
	BPF_PROG(trim_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/trim_enqueue") BPF_PROG(trim_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
}

static void cut(struct task_struct *p, u64 to)
{
	if (p->scx.slice > to)
		p->scx.slice = to;
}

void SEC("struct_ops/trim_running") BPF_PROG(trim_running, struct task_struct *p)
{
	cut(p, 9000);
}

SEC(".struct_ops.link")
struct sched_ext_ops trim_ops = {
	.select_cpu = (void *)trim_select_cpu,
	.enqueue = (void *)trim_enqueue,
	.running = (void *)trim_running,
	.name = "trim",
};
