// SPDX-License-Identifier: GPL-2.0
/*
 * T07: dispatch lets the task that ran before go on for as long as it wants to, because its memory
 * is in the cache.
 * Stopped at Bytecode or Dynamic: with more hogs than CPUs.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OTHERS 0xc7

s32 SEC("struct_ops.s/init") BPF_PROG(warm_init)
{
	return scx_bpf_create_dsq(OTHERS, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(warm_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, OTHERS, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(warm_dispatch, s32 cpu, struct task_struct *prev)
{
	if (prev && (prev->scx.flags & SCX_TASK_QUEUED) && prev->scx.weight >= 100) {
		prev->scx.slice = 10000000;
		return;
	}
	scx_bpf_dsq_move_to_local(OTHERS);
}

SEC(".struct_ops.link")
struct sched_ext_ops warm_ops = {
	.enqueue = (void *)warm_enqueue,
	.dispatch = (void *)warm_dispatch,
	.init = (void *)warm_init,
	.name = "warm_caches",
};
