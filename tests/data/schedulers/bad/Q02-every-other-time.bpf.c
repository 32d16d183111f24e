// SPDX-License-Identifier: GPL-2.0
/*
 * Q02: every other dispatch does nothing but ask for the next one.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HALVED 0x52

static u64 dispatches;

s32 SEC("struct_ops.s/init") BPF_PROG(other_init)
{
	return scx_bpf_create_dsq(HALVED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(other_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, HALVED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(other_dispatch, s32 cpu, struct task_struct *prev)
{
	if (__sync_fetch_and_add(&dispatches, 1) & 1) {
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_move_to_local(HALVED);
}

SEC(".struct_ops.link")
struct sched_ext_ops other_ops = {
	.enqueue = (void *)other_enqueue,
	.dispatch = (void *)other_dispatch,
	.init = (void *)other_init,
	.name = "other_time",
};
