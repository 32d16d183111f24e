// SPDX-License-Identifier: GPL-2.0
/*
 * T09: kernel threads run when no user task wants to, so that nobody ends a grace period.
 * Stopped at Bytecode or Dynamic: on a machine that is busy for long, RCU stalls.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { USER_Q = 0x2a0, KERNEL_Q = 0x2a1 };

s32 SEC("struct_ops.s/init") BPF_PROG(people_init)
{
	s32 err = scx_bpf_create_dsq(USER_Q, -1);

	return err ?: scx_bpf_create_dsq(KERNEL_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(people_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->flags & 0x200000 ? KERNEL_Q : USER_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(people_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(USER_Q))
		return;
	scx_bpf_dsq_move_to_local(KERNEL_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops people_ops = {
	.enqueue = (void *)people_enqueue,
	.dispatch = (void *)people_dispatch,
	.init = (void *)people_init,
	.name = "people_first",
};
