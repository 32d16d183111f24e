// SPDX-License-Identifier: GPL-2.0
/*
 * R03: whoever comes back from a real-time task's turn, or from a migration, is put at the head of
 * the queue; the others are ordered. Both ways lead through functions of their own.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define ROAD 0x61

static __noinline void put_first(struct task_struct *p, u64 flags)
{
	scx_bpf_dsq_insert(p, ROAD, 4000000, flags | SCX_ENQ_HEAD);
}

static __noinline void put_in_order(struct task_struct *p, u64 flags)
{
	scx_bpf_dsq_insert_vtime(p, ROAD, 4000000, bpf_ktime_get_ns(), flags);
}

s32 SEC("struct_ops.s/init") BPF_PROG(road_init)
{
	return scx_bpf_create_dsq(ROAD, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(road_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (enq_flags & SCX_ENQ_WAKEUP)
		put_in_order(p, enq_flags);
	else
		put_first(p, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(road_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(ROAD);
}

SEC(".struct_ops.link")
struct sched_ext_ops road_ops = {
	.enqueue = (void *)road_enqueue,
	.dispatch = (void *)road_dispatch,
	.init = (void *)road_init,
	.name = "road_order",
};
