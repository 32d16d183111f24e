// SPDX-License-Identifier: GPL-2.0
/*
 * Q10: who wakes takes the CPU from whoever runs there, as often as it likes; the slices of the
 * others are short and end with the next wakeup, but end they do, and all get on.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service as busy as its neighbours.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BATCH_Q 0x82

s32 SEC("struct_ops.s/init") BPF_PROG(pushy_init)
{
	return scx_bpf_create_dsq(BATCH_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(pushy_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 flags = enq_flags;

	if (enq_flags & SCX_ENQ_WAKEUP) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 20000000, flags | SCX_ENQ_PREEMPT);
		return;
	}
	scx_bpf_dsq_insert(p, BATCH_Q, 2000000, flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(pushy_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BATCH_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops pushy_ops = {
	.enqueue = (void *)pushy_enqueue,
	.dispatch = (void *)pushy_dispatch,
	.init = (void *)pushy_init,
	.name = "wakers_first",
};
