// SPDX-License-Identifier: GPL-2.0
/*
 * T08: tasks of the default weight and above always go before lighter ones, which never age.
 * Stopped at Bytecode or Dynamic: on a machine that is busy for long, nice tasks starve.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FIRST  0x21
#define SECOND 0x22

s32 SEC("struct_ops.s/init") BPF_PROG(strict_init)
{
	s32 err = scx_bpf_create_dsq(FIRST, -1);

	return err ?: scx_bpf_create_dsq(SECOND, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(strict_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? SECOND : FIRST, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(strict_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!scx_bpf_dsq_move_to_local(FIRST))
		scx_bpf_dsq_move_to_local(SECOND);
}

SEC(".struct_ops.link")
struct sched_ext_ops strict_ops = {
	.enqueue = (void *)strict_enqueue,
	.dispatch = (void *)strict_dispatch,
	.init = (void *)strict_init,
	.name = "strict_order",
};
