// SPDX-License-Identifier: GPL-2.0
/*
 * K01: all tasks that are bound to one CPU share a queue, and every CPU goes through it again and
 * again before anything else, under its lock, for tasks that nearly all belong to others.
 * Stopped at Bytecode or Dynamic: with hundreds of bound tasks.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { BOUND_Q = 0x11, LOOSE_Q, RETRIES = 128 };

s32 SEC("struct_ops.s/init") BPF_PROG(hammer_init)
{
	s32 err = scx_bpf_create_dsq(BOUND_Q, -1);

	return err ?: scx_bpf_create_dsq(LOOSE_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(hammer_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if (p->nr_cpus_allowed > 1) {
		scx_bpf_dsq_insert(p, LOOSE_Q, 1000000, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, BOUND_Q, 1000000, enq_flags);
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
	}
}

void SEC("struct_ops/dispatch") BPF_PROG(hammer_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 i;

	bpf_for (i, 0, RETRIES) {
		if (scx_bpf_dsq_move_to_local(BOUND_Q))
			return;
	}
	scx_bpf_dsq_move_to_local(LOOSE_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops hammer_ops = {
	.enqueue = (void *)hammer_enqueue,
	.dispatch = (void *)hammer_dispatch,
	.init = (void *)hammer_init,
	.name = "bound_together",
};
