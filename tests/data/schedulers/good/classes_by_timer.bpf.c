// SPDX-License-Identifier: GPL-2.0
/*
 * Two classes. Whoever has just woken goes before whoever used its slice up. A timer gives the
 * others their due: every `period_ns` each CPU owes them one turn before anybody else.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FRESH 0x61
#define SPENT 0x62

const volatile u64 period_ns = 20000000;
const volatile u64 slice_ns = 5000000;

enum { MONOTONIC = 1 };

struct period_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct period_timer);
} timers SEC(".maps");

static u64 period;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} paid SEC(".maps");

static int next_period(void *map, u32 *key, struct period_timer *due)
{
	__sync_fetch_and_add(&period, 1);
	bpf_timer_start(&due->timer, period_ns, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(timed_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(timed_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, enq_flags & SCX_ENQ_WAKEUP ? FRESH : SPENT, slice_ns, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(timed_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u64 *last = bpf_map_lookup_elem(&paid, &zero);

	if (last && *last != period) {
		*last = period;
		if (scx_bpf_dsq_move_to_local(SPENT))
			return;
	}
	if (!scx_bpf_dsq_move_to_local(FRESH))
		scx_bpf_dsq_move_to_local(SPENT);
}

s32 SEC("struct_ops.s/init") BPF_PROG(timed_init)
{
	u32 zero = 0;
	struct period_timer *due = bpf_map_lookup_elem(&timers, &zero);
	s32 err = scx_bpf_create_dsq(FRESH, -1) ?: scx_bpf_create_dsq(SPENT, -1);

	if (err || !due)
		return err ?: -1;
	bpf_timer_init(&due->timer, &timers, MONOTONIC);
	bpf_timer_set_callback(&due->timer, next_period);
	return bpf_timer_start(&due->timer, period_ns, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops timed_ops = {
	.select_cpu = (void *)timed_select_cpu,
	.enqueue = (void *)timed_enqueue,
	.dispatch = (void *)timed_dispatch,
	.init = (void *)timed_init,
	.name = "timed_classes",
};
