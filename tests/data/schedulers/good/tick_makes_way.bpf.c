// SPDX-License-Identifier: GPL-2.0
/*
 * Two queues in turns, and a tick that makes way: who has run for `least_ns` leaves the CPU when
 * somebody who woke is waiting. Slices end for everybody in any case.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { WOKEN_Q = 0xd02, REST_Q };

const volatile u64 slice_ns = 20000000;
const volatile u64 least_ns = 4000000;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} turns SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(way_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(way_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, enq_flags & SCX_ENQ_WAKEUP ? WOKEN_Q : REST_Q, slice_ns, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(way_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u32 *turn = bpf_map_lookup_elem(&turns, &zero);

	if (turn && ++*turn % 3 == 0 && scx_bpf_dsq_move_to_local(REST_Q))
		return;
	if (!scx_bpf_dsq_move_to_local(WOKEN_Q))
		scx_bpf_dsq_move_to_local(REST_Q);
}

void SEC("struct_ops/tick") BPF_PROG(way_tick, struct task_struct *p)
{
	if (p->scx.slice + least_ns < slice_ns && scx_bpf_dsq_nr_queued(WOKEN_Q) > 0)
		p->scx.slice = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(way_init)
{
	s32 err = scx_bpf_create_dsq(WOKEN_Q, -1);

	return err ?: scx_bpf_create_dsq(REST_Q, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops way_ops = {
	.select_cpu = (void *)way_select_cpu,
	.enqueue = (void *)way_enqueue,
	.dispatch = (void *)way_dispatch,
	.tick = (void *)way_tick,
	.init = (void *)way_init,
	.name = "tick_makes_way",
};
