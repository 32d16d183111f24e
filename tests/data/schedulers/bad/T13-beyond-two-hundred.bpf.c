// SPDX-License-Identifier: GPL-2.0
/*
 * T13: up to two hundred tasks may wait in the queue; the others go to a second one that has been
 * forgotten.
 * Stopped at Bytecode or Dynamic: when more than two hundred tasks are runnable.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { HALL = 0x6d0, YARD, SEATS = 200 };

s32 SEC("struct_ops.s/init") BPF_PROG(hall_init)
{
	s32 err = scx_bpf_create_dsq(HALL, -1);

	return err ?: scx_bpf_create_dsq(YARD, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(hall_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool full = scx_bpf_dsq_nr_queued(HALL) >= SEATS;

	scx_bpf_dsq_insert(p, full ? YARD : HALL, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(hall_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(HALL);
}

SEC(".struct_ops.link")
struct sched_ext_ops hall_ops = {
	.enqueue = (void *)hall_enqueue,
	.dispatch = (void *)hall_dispatch,
	.init = (void *)hall_init,
	.name = "hall_and_yard",
};
