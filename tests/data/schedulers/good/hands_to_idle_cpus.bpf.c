// SPDX-License-Identifier: GPL-2.0
/*
 * A task goes straight to the local queue of an idle CPU, which is kicked. Only when every CPU is
 * busy does it wait, in order of arrival, in a queue that all CPUs read.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BACKLOG 3

const volatile u64 slice_ns = 6000000;

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(handing_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	}
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(handing_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu < 0) {
		scx_bpf_dsq_insert(p, BACKLOG, slice_ns, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, slice_ns, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(handing_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BACKLOG);
}

s32 SEC("struct_ops.s/init") BPF_PROG(handing_init)
{
	return scx_bpf_create_dsq(BACKLOG, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops handing_ops = {
	.select_cpu = (void *)handing_select_cpu,
	.enqueue = (void *)handing_enqueue,
	.dispatch = (void *)handing_dispatch,
	.init = (void *)handing_init,
	.name = "hands_to_idle_cpus",
};
