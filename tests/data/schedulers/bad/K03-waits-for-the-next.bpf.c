// SPDX-License-Identifier: GPL-2.0
/*
 * K03: each CPU kicks the next one when it dispatches, and waits for it; the last waits for the
 * first.
 * Stopped at Bytecode or Dynamic: when all CPUs dispatch at the same time.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CHAIN 0x16

s32 SEC("struct_ops.s/init") BPF_PROG(chain_init)
{
	return scx_bpf_create_dsq(CHAIN, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(chain_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, CHAIN, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(chain_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 next = (cpu + 1) % scx_bpf_nr_cpu_ids();

	if (next != cpu)
		scx_bpf_kick_cpu(next, SCX_KICK_PREEMPT | SCX_KICK_WAIT);
	scx_bpf_dsq_move_to_local(CHAIN);
}

SEC(".struct_ops.link")
struct sched_ext_ops chain_ops = {
	.enqueue = (void *)chain_enqueue,
	.dispatch = (void *)chain_dispatch,
	.init = (void *)chain_init,
	.name = "one_by_one",
};
