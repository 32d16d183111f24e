// SPDX-License-Identifier: GPL-2.0
/*
 * Order of arrival with long slices, of which a part is taken away when a task begins to run while
 * others wait.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/crowd_select_cpu")
	BPF_PROG(crowd_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 20 * MS, 0);
	return cpu;
}

void SEC("struct_ops/crowd_enqueue") BPF_PROG(crowd_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, 1, 20 * MS, enq_flags);
}

void SEC("struct_ops/crowd_dispatch") BPF_PROG(crowd_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(1);
}

void SEC("struct_ops/crowd_running") BPF_PROG(crowd_running, struct task_struct *p)
{
	if (scx_bpf_dsq_nr_queued(1) > 0 && p->scx.slice > 5 * MS)
		p->scx.slice = 5 * MS;
}

s32 SEC("struct_ops.s/crowd_init") BPF_PROG(crowd_init)
{
	return scx_bpf_create_dsq(1, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops crowd_ops = {
	.select_cpu = (void *)crowd_select_cpu,
	.enqueue = (void *)crowd_enqueue,
	.dispatch = (void *)crowd_dispatch,
	.running = (void *)crowd_running,
	.init = (void *)crowd_init,
	.name = "crowd",
};
