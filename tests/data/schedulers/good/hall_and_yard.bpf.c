// SPDX-License-Identifier: GPL-2.0
/*
 * Up to a hundred tasks wait in the hall, whoever comes then waits in the yard. A CPU takes from
 * both in turns, and from the other one when one is empty.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { HALL = 0xd0b, YARD, SEATS = 100 };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} turns SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(seats_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(seats_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool full = scx_bpf_dsq_nr_queued(HALL) >= SEATS;
	s32 idle;

	scx_bpf_dsq_insert(p, full ? YARD : HALL, 5000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(seats_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u32 *turn = bpf_map_lookup_elem(&turns, &zero);
	bool yard_first = turn && ++*turn & 1;

	if (!scx_bpf_dsq_move_to_local(yard_first ? YARD : HALL))
		scx_bpf_dsq_move_to_local(yard_first ? HALL : YARD);
}

s32 SEC("struct_ops.s/init") BPF_PROG(seats_init)
{
	s32 err = scx_bpf_create_dsq(HALL, -1);

	return err ?: scx_bpf_create_dsq(YARD, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops seats_ops = {
	.select_cpu = (void *)seats_select_cpu,
	.enqueue = (void *)seats_enqueue,
	.dispatch = (void *)seats_dispatch,
	.init = (void *)seats_init,
	.name = "both_in_turns",
};
