// SPDX-License-Identifier: GPL-2.0
/*
 * K03: whoever begins to run has all other CPUs stop what they do, and waits until they did.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PAIRED 0x17

s32 SEC("struct_ops.s/init") BPF_PROG(together_init)
{
	return scx_bpf_create_dsq(PAIRED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(together_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, PAIRED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(together_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(PAIRED);
}

void SEC("struct_ops/running") BPF_PROG(together_running, struct task_struct *p)
{
	s32 me = scx_bpf_task_cpu(p), cpu;
	u64 how = SCX_KICK_WAIT;

	if (p->scx.weight >= 100)
		how |= SCX_KICK_PREEMPT;
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		if (cpu != me)
			scx_bpf_kick_cpu(cpu, how);
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops together_ops = {
	.enqueue = (void *)together_enqueue,
	.dispatch = (void *)together_dispatch,
	.running = (void *)together_running,
	.init = (void *)together_init,
	.name = "all_together",
};
