// SPDX-License-Identifier: GPL-2.0
/*
 * K05: a CPU that has nothing to do kicks itself awake to look again at once, and does so for ever.
 * Stopped at Bytecode or Dynamic: no CPU is idle again.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define AWAKE_Q 0x45

s32 SEC("struct_ops.s/init") BPF_PROG(awake_init)
{
	return scx_bpf_create_dsq(AWAKE_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(awake_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, AWAKE_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(awake_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(AWAKE_Q))
		return;
	scx_bpf_kick_cpu(cpu, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops awake_ops = {
	.enqueue = (void *)awake_enqueue,
	.dispatch = (void *)awake_dispatch,
	.init = (void *)awake_init,
	.name = "never_sleeps",
};
