// SPDX-License-Identifier: GPL-2.0
/*
 * A queue for each CPU, in order of arrival. A CPU whose own queue is empty takes from the longest
 * other one, and if nobody there may run here, from whoever has something.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OWN 0x8000

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(thief_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(thief_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 home = scx_bpf_task_cpu(p), idle;

	scx_bpf_dsq_insert(p, OWN + home, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(home, SCX_KICK_IDLE);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0 && idle != home)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

static s32 longest_of(s32 nr_cpus)
{
	s32 cpu, queued, most = 0, longest = 0;

	bpf_for (cpu, 0, nr_cpus) {
		queued = scx_bpf_dsq_nr_queued(OWN + cpu);
		if (queued > most) {
			most = queued;
			longest = cpu;
		}
	}
	return longest;
}

void SEC("struct_ops/dispatch") BPF_PROG(thief_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 nr_cpus = scx_bpf_nr_cpu_ids(), other;

	if (scx_bpf_dsq_move_to_local(OWN + cpu))
		return;
	if (scx_bpf_dsq_move_to_local(OWN + longest_of(nr_cpus)))
		return;
	bpf_for (other, 0, nr_cpus) {
		if (scx_bpf_dsq_move_to_local(OWN + other))
			return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(thief_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(OWN + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops thief_ops = {
	.select_cpu = (void *)thief_select_cpu,
	.enqueue = (void *)thief_enqueue,
	.dispatch = (void *)thief_dispatch,
	.init = (void *)thief_init,
	.name = "steals_longest",
};
