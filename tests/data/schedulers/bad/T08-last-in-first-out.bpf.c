// SPDX-License-Identifier: GPL-2.0
/*
 * T08: whoever came last runs first. Wakeups are quick, and whoever lies at the bottom stays there.
 * Stopped at Bytecode or Dynamic: on a machine that is busy for long, work that never sleeps
 * starves.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define STACK 0x21

s32 SEC("struct_ops.s/init") BPF_PROG(newest_init)
{
	return scx_bpf_create_dsq(STACK, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(newest_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, STACK, SCX_SLICE_DFL, enq_flags | SCX_ENQ_HEAD);
}

void SEC("struct_ops/dispatch") BPF_PROG(newest_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(STACK);
}

SEC(".struct_ops.link")
struct sched_ext_ops newest_ops = {
	.enqueue = (void *)newest_enqueue,
	.dispatch = (void *)newest_dispatch,
	.init = (void *)newest_init,
	.name = "newest_first",
};
