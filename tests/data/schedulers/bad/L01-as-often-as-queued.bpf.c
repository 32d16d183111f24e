// SPDX-License-Identifier: GPL-2.0
/*
 * L01: dispatch counts up to a number that the kernel gives and that has no bound.
 * Stopped at Build or Bytecode: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LINE 0x3f0

s32 SEC("struct_ops.s/init") BPF_PROG(tally_init)
{
	return scx_bpf_create_dsq(LINE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(tally_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, LINE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(tally_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 i, moved = 0, queued = scx_bpf_dsq_nr_queued(LINE);

	for (i = 0; i < queued; i++)
		moved += scx_bpf_dsq_move_to_local(LINE);
	if (moved != queued)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC(".struct_ops.link")
struct sched_ext_ops tally_ops = {
	.enqueue = (void *)tally_enqueue,
	.dispatch = (void *)tally_dispatch,
	.init = (void *)tally_init,
	.name = "counted_line",
};
