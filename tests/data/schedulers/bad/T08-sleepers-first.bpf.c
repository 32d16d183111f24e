// SPDX-License-Identifier: GPL-2.0
/*
 * T08: a task that has just woken always goes before one that used its slice up.
 * Stopped at Bytecode or Dynamic: beside enough sleepers, work that never sleeps starves.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define AWOKEN 0x31
#define REST   0x32

s32 SEC("struct_ops.s/init") BPF_PROG(awake_init)
{
	s32 err = scx_bpf_create_dsq(AWOKEN, -1);

	return err ?: scx_bpf_create_dsq(REST, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(awake_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 queue = enq_flags & SCX_ENQ_WAKEUP ? AWOKEN : REST;

	scx_bpf_dsq_insert(p, queue, 5000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(awake_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!scx_bpf_dsq_move_to_local(AWOKEN))
		scx_bpf_dsq_move_to_local(REST);
}

SEC(".struct_ops.link")
struct sched_ext_ops awake_ops = {
	.enqueue = (void *)awake_enqueue,
	.dispatch = (void *)awake_dispatch,
	.init = (void *)awake_init,
	.name = "awake_first",
};
