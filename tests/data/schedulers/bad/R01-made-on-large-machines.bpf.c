// SPDX-License-Identifier: GPL-2.0
/*
 * R01: the overflow queue is made only where there are more than sixteen CPUs, and used wherever
 * many wait.
 * Stopped at Bytecode or Dynamic: where fifty tasks wait on a small machine.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { MAIN_QUEUE = 5, OVERFLOW_QUEUE, MANY = 50 };

s32 SEC("struct_ops.s/init") BPF_PROG(large_init)
{
	s32 err = scx_bpf_create_dsq(MAIN_QUEUE, -1);

	if (!err && scx_bpf_nr_cpu_ids() > 16)
		err = scx_bpf_create_dsq(OVERFLOW_QUEUE, -1);
	return err;
}

void SEC("struct_ops/enqueue") BPF_PROG(large_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 queue = MAIN_QUEUE;

	if (scx_bpf_dsq_nr_queued(MAIN_QUEUE) > MANY)
		queue = OVERFLOW_QUEUE;
	scx_bpf_dsq_insert(p, queue, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(large_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_nr_cpu_ids() > 16 && scx_bpf_dsq_move_to_local(OVERFLOW_QUEUE))
		return;
	scx_bpf_dsq_move_to_local(MAIN_QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops large_ops = {
	.enqueue = (void *)large_enqueue,
	.dispatch = (void *)large_dispatch,
	.init = (void *)large_init,
	.name = "two_sizes",
};
