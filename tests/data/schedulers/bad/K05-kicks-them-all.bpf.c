// SPDX-License-Identifier: GPL-2.0
/*
 * K05: whoever is enqueued has all CPUs look for work, and leave what they do for it.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define STORM_Q 0x44

s32 SEC("struct_ops.s/init") BPF_PROG(storm_init)
{
	return scx_bpf_create_dsq(STORM_Q, -1);
}

static long kick_one(u32 cpu, void *ctx)
{
	scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(storm_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, STORM_Q, SCX_SLICE_DFL, enq_flags);
	bpf_loop(scx_bpf_nr_cpu_ids(), kick_one, NULL, 0);
}

void SEC("struct_ops/dispatch") BPF_PROG(storm_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(STORM_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops storm_ops = {
	.enqueue = (void *)storm_enqueue,
	.dispatch = (void *)storm_dispatch,
	.init = (void *)storm_init,
	.name = "stormy",
};
