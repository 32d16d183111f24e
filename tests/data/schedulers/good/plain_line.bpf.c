// SPDX-License-Identifier: GPL-2.0
/*
 * One FIFO queue for the whole machine with 8 ms slices, idle CPUs are kicked after every insert.
 */
/* One queue for the whole machine, served in order of arrival. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LINE_DSQ   1
#define LINE_SLICE 8000000ULL

s32 SEC("struct_ops.s/init") BPF_PROG(line_init)
{
	return scx_bpf_create_dsq(LINE_DSQ, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(line_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, LINE_DSQ, LINE_SLICE, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(line_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(LINE_DSQ);
}

SEC(".struct_ops.link")
struct sched_ext_ops line_ops = {
	.init = (void *)line_init,
	.enqueue = (void *)line_enqueue,
	.dispatch = (void *)line_dispatch,
	.name = "plain_line",
};
