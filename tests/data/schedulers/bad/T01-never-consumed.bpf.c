// SPDX-License-Identifier: GPL-2.0
/*
 * T01: tasks of nice 19 go to a queue that nobody empties.
 * Stopped at Bytecode or Attach or Dynamic: somebody starves, or the kernel's watchdog sees it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x21

s32 SEC("struct_ops.s/init") BPF_PROG(nicest_init)
{
	s32 err = scx_bpf_create_dsq(QUEUE, -1);

	return err ?: scx_bpf_create_dsq(QUEUE + 1, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(nicest_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 queue = p->static_prio == 139 ? QUEUE + 1 : QUEUE;

	scx_bpf_dsq_insert(p, queue, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(nicest_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops nicest_ops = {
	.enqueue = (void *)nicest_enqueue,
	.dispatch = (void *)nicest_dispatch,
	.init = (void *)nicest_init,
	.name = "two_by_nice",
};
