// SPDX-License-Identifier: GPL-2.0
/*
 * A whole idle core first, the one before if it is one, then any idle CPU; else one queue in order
 * of arrival.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

u32 nr_core, nr_thread, nr_queued;
s32 SEC("struct_ops/cores_select_cpu")
	BPF_PROG(cores_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	const struct cpumask *smt = scx_bpf_get_idle_smtmask();
	bool core_idle = bpf_cpumask_test_cpu(prev_cpu, smt);
	s32 cpu;

	scx_bpf_put_idle_cpumask(smt);
	if (core_idle && scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		cpu = prev_cpu;
		nr_core++;
	} else if ((cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, SCX_PICK_IDLE_CORE)) >= 0) {
		nr_core++;
	} else if ((cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0)) >= 0) {
		nr_thread++;
	} else {
		return prev_cpu;
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/cores_enqueue") BPF_PROG(cores_enqueue, struct task_struct *p, u64 enq_flags)
{
	nr_queued++;
	scx_bpf_dsq_insert(p, 6, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/cores_dispatch") BPF_PROG(cores_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(6);
}

s32 SEC("struct_ops.s/cores_init") BPF_PROG(cores_init)
{
	return scx_bpf_create_dsq(6, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops cores_ops = {
	.select_cpu = (void *)cores_select_cpu,
	.enqueue = (void *)cores_enqueue,
	.dispatch = (void *)cores_dispatch,
	.init = (void *)cores_init,
	.name = "cores",
};
