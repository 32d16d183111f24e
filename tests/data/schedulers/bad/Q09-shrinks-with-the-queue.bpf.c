// SPDX-License-Identifier: GPL-2.0
/*
 * Q09: one millisecond is shared out among all who wait, down to a few microseconds each.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SHARED_OUT 0x78

s32 SEC("struct_ops.s/init") BPF_PROG(shares_init)
{
	return scx_bpf_create_dsq(SHARED_OUT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(shares_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 waiting = scx_bpf_dsq_nr_queued(SHARED_OUT) + 1;

	scx_bpf_dsq_insert(p, SHARED_OUT, 1000000 / waiting + 1, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(shares_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SHARED_OUT);
}

SEC(".struct_ops.link")
struct sched_ext_ops shares_ops = {
	.enqueue = (void *)shares_enqueue,
	.dispatch = (void *)shares_dispatch,
	.init = (void *)shares_init,
	.name = "shares_out",
};
