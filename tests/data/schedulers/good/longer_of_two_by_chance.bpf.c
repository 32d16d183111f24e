// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks are spread over four queues by chance, and a CPU serves the longer of two that it draws;
 * before it goes idle it looks into all.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

#define NQ 4

s32 SEC("struct_ops/two_select_cpu")
	BPF_PROG(two_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/two_enqueue") BPF_PROG(two_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, bpf_get_prandom_u32() % NQ, 5 * MS, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/two_dispatch") BPF_PROG(two_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 a = bpf_get_prandom_u32() % NQ, b = bpf_get_prandom_u32() % NQ;
	u32 i;

	if (scx_bpf_dsq_nr_queued(b) > scx_bpf_dsq_nr_queued(a))
		a = b;
	if (scx_bpf_dsq_move_to_local(a))
		return;
	bpf_for (i, 0, NQ)
		if (scx_bpf_dsq_move_to_local(i))
			return;
}

s32 SEC("struct_ops.s/two_init") BPF_PROG(two_init)
{
	u32 i;

	bpf_for (i, 0, NQ) {
		s32 e = scx_bpf_create_dsq(i, -1);

		if (e)
			return e;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops two_ops = {
	.select_cpu = (void *)two_select_cpu,
	.enqueue = (void *)two_enqueue,
	.dispatch = (void *)two_dispatch,
	.init = (void *)two_init,
	.name = "two",
};
