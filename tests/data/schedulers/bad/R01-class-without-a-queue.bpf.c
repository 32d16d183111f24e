// SPDX-License-Identifier: GPL-2.0
/*
 * R01: four queues for five classes: the heaviest tasks belong to a queue that was not made.
 * Stopped at Bytecode or Dynamic, as soon as somebody has a nice value below -10.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CLASS_BASE 0x7000
#define CLASSES	   4

static u32 class_of(u32 weight)
{
	if (weight > 900)
		return 4;
	if (weight > 300)
		return 3;
	if (weight > 100)
		return 2;
	return weight == 100;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ranks_init)
{
	s32 class, err;

	bpf_for (class, 0, CLASSES) {
		err = scx_bpf_create_dsq(CLASS_BASE + class, -1);
		if (err)
			return err;
	}
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(ranks_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, CLASS_BASE + class_of(p->scx.weight), 4000000, enq_flags);
}

static u32 turn;

void SEC("struct_ops/dispatch") BPF_PROG(ranks_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 first = __sync_fetch_and_add(&turn, 1), step;

	bpf_for (step, 0, CLASSES) {
		if (scx_bpf_dsq_move_to_local(CLASS_BASE + (first + step) % CLASSES))
			return;
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops ranks_ops = {
	.enqueue = (void *)ranks_enqueue,
	.dispatch = (void *)ranks_dispatch,
	.init = (void *)ranks_init,
	.name = "ranks_by_weight",
};
