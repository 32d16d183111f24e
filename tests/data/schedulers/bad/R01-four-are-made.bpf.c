// SPDX-License-Identifier: GPL-2.0
/*
 * R01: each CPU has a queue, and init makes the first four, as many as the machine had on which it
 * was written; on machines with more CPUs.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

#define Q(cpu) (0x500 + (cpu))

s32 SEC("struct_ops/stall_select_cpu")
	BPF_PROG(stall_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/stall_enqueue") BPF_PROG(stall_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, Q(cpu), 5 * MS, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/stall_dispatch") BPF_PROG(stall_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(Q(cpu));
}

s32 SEC("struct_ops.s/stall_init") BPF_PROG(stall_init)
{
	s32 i;

	bpf_for (i, 0, 4) {
		s32 e = scx_bpf_create_dsq(Q(i), -1);

		if (e)
			return e;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops stall_ops = {
	.select_cpu = (void *)stall_select_cpu,
	.enqueue = (void *)stall_enqueue,
	.dispatch = (void *)stall_dispatch,
	.init = (void *)stall_init,
	.name = "stall",
};
