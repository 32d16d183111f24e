// SPDX-License-Identifier: GPL-2.0
/*
 * Nobody is put on a CPU's local queue unless that CPU is about to run it: what waits, waits where
 * every CPU can take it, so that a real-time task that keeps a CPU to itself keeps nobody waiting
 * but those who are bound to it. Order of arrival, kernel threads of one CPU first.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OPEN  0x90
#define BOUND 0x10000

enum { KTHREAD = 0x200000 };

void SEC("struct_ops/enqueue") BPF_PROG(steady_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (p->nr_cpus_allowed == 1 && (p->flags & KTHREAD)) {
		scx_bpf_dsq_insert(p, BOUND + cpu, SCX_SLICE_DFL, enq_flags);
		/* Only when it wakes: who is queued again would take the CPU from itself. */
		scx_bpf_kick_cpu(cpu,
				 enq_flags & SCX_ENQ_WAKEUP ? SCX_KICK_PREEMPT : SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, OPEN, 5000000, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(steady_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	return cpu >= 0 ? cpu : prev_cpu;
}

void SEC("struct_ops/dispatch") BPF_PROG(steady_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!scx_bpf_dsq_move_to_local(BOUND + cpu))
		scx_bpf_dsq_move_to_local(OPEN);
}

s32 SEC("struct_ops.s/init") BPF_PROG(steady_init)
{
	s32 cpu, err = scx_bpf_create_dsq(OPEN, -1);

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = err ?: scx_bpf_create_dsq(BOUND + cpu, -1);
	}
	return err;
}

SEC(".struct_ops.link")
struct sched_ext_ops steady_ops = {
	.select_cpu = (void *)steady_select_cpu,
	.enqueue = (void *)steady_enqueue,
	.dispatch = (void *)steady_dispatch,
	.init = (void *)steady_init,
	.name = "steady_under_realtime",
};
