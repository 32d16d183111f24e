// SPDX-License-Identifier: GPL-2.0
/*
 * T01: batch tasks are put aside, and whether they are ever taken out is a knob, which is off.
 * Stopped at Bytecode or Dynamic: when somebody uses SCHED_BATCH.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { PLAIN_Q = 0x2, BATCH_Q = 0x6, POLICY_BATCH = 3 };

const volatile bool serve_batch = false;

s32 SEC("struct_ops.s/init") BPF_PROG(aside_init)
{
	s32 err = scx_bpf_create_dsq(PLAIN_Q, -1);

	return err ?: scx_bpf_create_dsq(BATCH_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(aside_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->policy == POLICY_BATCH ? BATCH_Q : PLAIN_Q, 8000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(aside_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(PLAIN_Q))
		return;
	if (serve_batch)
		scx_bpf_dsq_move_to_local(BATCH_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops aside_ops = {
	.enqueue = (void *)aside_enqueue,
	.dispatch = (void *)aside_dispatch,
	.init = (void *)aside_init,
	.name = "batch_aside",
};
