// SPDX-License-Identifier: GPL-2.0
/*
 * T12: healthy for two million wakeups; from then on every wakeup is counted and nobody is queued.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FLOW_Q 0x5c2

static u64 wakeups;

s32 SEC("struct_ops.s/init") BPF_PROG(wakeups_init)
{
	return scx_bpf_create_dsq(FLOW_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(wakeups_enqueue, struct task_struct *p, u64 enq_flags)
{
	if ((enq_flags & SCX_ENQ_WAKEUP) && __sync_add_and_fetch(&wakeups, 1) > 2000000)
		return;
	scx_bpf_dsq_insert(p, FLOW_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(wakeups_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FLOW_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops wakeups_ops = {
	.enqueue = (void *)wakeups_enqueue,
	.dispatch = (void *)wakeups_dispatch,
	.init = (void *)wakeups_init,
	.name = "counts_wakeups",
};
