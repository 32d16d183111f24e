// SPDX-License-Identifier: GPL-2.0
/*
 * Whoever is woken by a task that is about to sleep runs where its waker ran, because what it needs
 * is in that cache. Everybody else takes an idle CPU or waits in order of arrival.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FOLLOWERS 0xf0

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(follows_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 here = bpf_get_smp_processor_id();
	bool is_idle = false;
	s32 cpu;

	if ((wake_flags & SCX_WAKE_SYNC) && bpf_cpumask_test_cpu(here, p->cpus_ptr) &&
	    !scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | here) && !scx_bpf_dsq_nr_queued(FOLLOWERS)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
		return here;
	}
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(follows_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, FOLLOWERS, SCX_SLICE_DFL, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(follows_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FOLLOWERS);
}

s32 SEC("struct_ops.s/init") BPF_PROG(follows_init)
{
	return scx_bpf_create_dsq(FOLLOWERS, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops follows_ops = {
	.select_cpu = (void *)follows_select_cpu,
	.enqueue = (void *)follows_enqueue,
	.dispatch = (void *)follows_dispatch,
	.init = (void *)follows_init,
	.name = "follows_the_waker",
};
