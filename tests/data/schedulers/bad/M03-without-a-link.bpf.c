// SPDX-License-Identifier: GPL-2.0
/*
 * M03: registered without a link, the table stays when the process that loaded it is gone.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x2c

s32 SEC("struct_ops.s/init") BPF_PROG(lasting_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(lasting_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(lasting_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops")
struct sched_ext_ops lasting_ops = {
	.init = (void *)lasting_init,
	.enqueue = (void *)lasting_enqueue,
	.dispatch = (void *)lasting_dispatch,
	.name = "lasting",
};
