// SPDX-License-Identifier: GPL-2.0
/*
 * R14: more than 90 tasks in its queue are against its idea of the world, and it ends itself.
 * Stopped at Bytecode or Dynamic: kind 1025.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BOUNDED 0xd1

static char too_many[] = "%d tasks are too many";

s32 SEC("struct_ops.s/init") BPF_PROG(bounded_init)
{
	return scx_bpf_create_dsq(BOUNDED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(bounded_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 queued = scx_bpf_dsq_nr_queued(BOUNDED);

	if (queued > 90)
		scx_bpf_error_bstr(too_many, (unsigned long long[]){queued}, sizeof(u64));
	scx_bpf_dsq_insert(p, BOUNDED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(bounded_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BOUNDED);
}

SEC(".struct_ops.link")
struct sched_ext_ops bounded_ops = {
	.enqueue = (void *)bounded_enqueue,
	.dispatch = (void *)bounded_dispatch,
	.init = (void *)bounded_init,
	.name = "bounded_crowd",
};
