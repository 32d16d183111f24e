// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks with much accumulated run time go first, by a bonus of at most 240 ms on the arrival time,
 * so younger tasks age past any newcomer.
 */
/*
 * Batch machine: jobs that have already run for long are finished first. The
 * order is arrival time minus a bonus of 15 ms for each doubling of the run
 * time, from a millisecond on.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define VET_DSQ	    3
#define VET_STEPS   16
#define VET_KTHREAD 0x00200000 /* PF_KTHREAD */

const volatile u64 vet_slice_ns = 7 * 1000 * 1000ULL;
const volatile u64 vet_step_ns = 15 * 1000 * 1000ULL;

static __always_inline u64 vet_bonus(const struct task_struct *p)
{
	u64 ms = p->se.sum_exec_runtime >> 20;
	u64 bonus = 0;
	int i;

	for (i = 0; i < VET_STEPS; i++) {
		if (!ms)
			break;
		ms >>= 1;
		bonus += vet_step_ns;
	}
	return bonus;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(vet_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, vet_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(vet_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 place = scx_bpf_now();
	u64 former = p->scx.dsq_vtime;
	s32 cpu;

	/* kernel threads are neither young nor old: as if all had been waiting */
	if (p->flags & VET_KTHREAD)
		place -= VET_STEPS * vet_step_ns;
	else
		place -= vet_bonus(p);

	/* one that is requeued while it waits does not fall back */
	if (former && (s64)(former - place) < 0)
		place = former;
	scx_bpf_dsq_insert_vtime(p, VET_DSQ, vet_slice_ns, place, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(vet_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(VET_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(vet_running, struct task_struct *p)
{
	/* served: the next wait gets a new place */
	p->scx.dsq_vtime = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(vet_init)
{
	return scx_bpf_create_dsq(VET_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops vet_ops = {
	.select_cpu = (void *)vet_select_cpu,
	.enqueue = (void *)vet_enqueue,
	.dispatch = (void *)vet_dispatch,
	.running = (void *)vet_running,
	.init = (void *)vet_init,
	.name = "veterans_first",
};
