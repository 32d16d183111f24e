// SPDX-License-Identifier: GPL-2.0
/*
 * T12: every slice is a little longer than the one before: seconds after some hours of work, and
 * then longer than anybody waits.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define GROWS_Q 0x5c5

static u64 slice_ns = 3000000;

s32 SEC("struct_ops.s/init") BPF_PROG(grows_init)
{
	return scx_bpf_create_dsq(GROWS_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(grows_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, GROWS_Q, slice_ns, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(grows_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(GROWS_Q);
}

void SEC("struct_ops/stopping") BPF_PROG(grows_stopping, struct task_struct *p, bool runnable)
{
	if (runnable)
		__sync_fetch_and_add(&slice_ns, slice_ns >> 10);
}

SEC(".struct_ops.link")
struct sched_ext_ops grows_ops = {
	.enqueue = (void *)grows_enqueue,
	.dispatch = (void *)grows_dispatch,
	.stopping = (void *)grows_stopping,
	.init = (void *)grows_init,
	.name = "grows_slowly",
};
