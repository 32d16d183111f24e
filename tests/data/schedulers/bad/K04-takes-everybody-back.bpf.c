// SPDX-License-Identifier: GPL-2.0
/*
 * K04: with every task that is enqueued the whole queue is enqueued again, itself among it: on and
 * on. Needs the kfunc of 7.1 (6.18 has none, and there it is not a bad one).
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define AGAIN_Q 0x43

void scx_bpf_dsq_reenq(u64 dsq_id, u64 reenq_flags) __ksym __weak;

s32 SEC("struct_ops.s/init") BPF_PROG(recall_init)
{
	return scx_bpf_create_dsq(AGAIN_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(recall_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, AGAIN_Q, 5000000, enq_flags);
	if (bpf_ksym_exists(scx_bpf_dsq_reenq))
		scx_bpf_dsq_reenq(AGAIN_Q, 0);
}

void SEC("struct_ops/dispatch") BPF_PROG(recall_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(AGAIN_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops recall_ops = {
	.enqueue = (void *)recall_enqueue,
	.dispatch = (void *)recall_dispatch,
	.init = (void *)recall_init,
	.name = "recalls_all",
};
