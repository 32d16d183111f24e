// SPDX-License-Identifier: GPL-2.0
/*
 * L02: every flag of a task doubles the number of ways through enqueue, and each way ends with
 * another index, so that the kernel's verifier cannot take two of them for one.
 * Stopped at Build: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WAYS 0x55

static u64 outcome[1 << 20];

#define TURN(bit, step)                                                                            \
	if (p->flags & (1U << (bit)))                                                              \
		place = place * 3 + (step);                                                        \
	else                                                                                       \
		place = place * 5 + (bit)

s32 SEC("struct_ops.s/init") BPF_PROG(ways_init)
{
	return scx_bpf_create_dsq(WAYS, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(ways_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 place = 1;

	TURN(0, 11);
	TURN(1, 7);
	TURN(2, 13);
	TURN(3, 17);
	TURN(4, 19);
	TURN(5, 23);
	TURN(6, 29);
	TURN(7, 31);
	TURN(8, 37);
	TURN(9, 41);
	TURN(10, 43);
	TURN(11, 47);
	TURN(12, 53);
	TURN(13, 59);
	TURN(14, 61);
	TURN(15, 67);
	TURN(16, 71);
	TURN(17, 73);
	TURN(18, 79);
	TURN(19, 83);
	TURN(20, 89);
	outcome[place % (1 << 20)] += 1;
	scx_bpf_dsq_insert(p, WAYS, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(ways_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAYS);
}

SEC(".struct_ops.link")
struct sched_ext_ops ways_ops = {
	.enqueue = (void *)ways_enqueue,
	.dispatch = (void *)ways_dispatch,
	.init = (void *)ways_init,
	.name = "many_ways",
};
