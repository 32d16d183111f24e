// SPDX-License-Identifier: GPL-2.0
/*
 * Q09: gives slices of 20 ms and takes what is left of them away at the next tick.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TAKEN_Q 0x79

s32 SEC("struct_ops.s/init") BPF_PROG(taken_init)
{
	return scx_bpf_create_dsq(TAKEN_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(taken_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, TAKEN_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(taken_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TAKEN_Q);
}

void SEC("struct_ops/tick") BPF_PROG(taken_tick, struct task_struct *p)
{
	p->scx.slice = 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops taken_ops = {
	.enqueue = (void *)taken_enqueue,
	.dispatch = (void *)taken_dispatch,
	.tick = (void *)taken_tick,
	.init = (void *)taken_init,
	.name = "taken_away",
};
