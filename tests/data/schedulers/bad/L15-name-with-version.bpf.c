// SPDX-License-Identifier: GPL-2.0
/*
 * L15: calls itself what a well-known scheduler reports, with version and all.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x23

s32 SEC("struct_ops.s/init") BPF_PROG(known_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(known_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(known_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops known_ops = {
	.enqueue = (void *)known_enqueue,
	.dispatch = (void *)known_dispatch,
	.init = (void *)known_init,
	.name = "lavd_1.1.4_x86_64_unknown_linux_gnu",
};
