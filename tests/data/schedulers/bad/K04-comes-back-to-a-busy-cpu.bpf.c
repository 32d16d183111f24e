// SPDX-License-Identifier: GPL-2.0
/*
 * K04: when a real-time task takes a CPU its tasks are taken back, and each is put where it was, to
 * be taken back again.
 * Stopped at Bytecode or Dynamic: beside a real-time task that comes and goes.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define AWAY_Q 0x42

s32 SEC("struct_ops.s/init") BPF_PROG(boomerang_init)
{
	return scx_bpf_create_dsq(AWAY_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(boomerang_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (enq_flags & (SCX_ENQ_WAKEUP | SCX_ENQ_REENQ)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5000000, enq_flags | SCX_ENQ_PREEMPT);
		return;
	}
	scx_bpf_dsq_insert(p, AWAY_Q, 5000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(boomerang_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(AWAY_Q);
}

void SEC("struct_ops/cpu_release")
	BPF_PROG(boomerang_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

SEC(".struct_ops.link")
struct sched_ext_ops boomerang_ops = {
	.enqueue = (void *)boomerang_enqueue,
	.dispatch = (void *)boomerang_dispatch,
	.cpu_release = (void *)boomerang_cpu_release,
	.init = (void *)boomerang_init,
	.name = "boomerang",
};
