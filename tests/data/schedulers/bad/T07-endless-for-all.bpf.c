// SPDX-License-Identifier: GPL-2.0
/*
 * T07: slices without end, and nobody who ends them.
 * Stopped at Bytecode or Dynamic: with more hogs than CPUs.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define ENDLESS 0xc4

s32 SEC("struct_ops.s/init") BPF_PROG(forever_init)
{
	return scx_bpf_create_dsq(ENDLESS, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(forever_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, ENDLESS, SCX_SLICE_INF, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(forever_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(ENDLESS);
}

SEC(".struct_ops.link")
struct sched_ext_ops forever_ops = {
	.enqueue = (void *)forever_enqueue,
	.dispatch = (void *)forever_dispatch,
	.init = (void *)forever_init,
	.name = "as_long_as_it_takes",
};
