// SPDX-License-Identifier: GPL-2.0
/*
 * Slices without end, which save ticks where nobody waits. A timer looks every `period_ns`: a CPU
 * on which somebody waits, or any while the common queue holds somebody, gives up a task that has
 * run for `turn_ns`. Before the timer runs, and if it could not be started, slices end.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define EVERYBODY 0xe0

const volatile u64 period_ns = 4000000;
const volatile u64 turn_ns = 10000000;

enum { MONOTONIC = 1 };

struct beat {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct beat);
} beats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} began_at SEC(".maps");

static u64 beaten_at;

static u64 slice(void)
{
	return bpf_ktime_get_ns() - beaten_at < 8 * period_ns ? SCX_SLICE_INF : SCX_SLICE_DFL;
}

static int beat_once(void *map, u32 *key, struct beat *beat)
{
	u64 now = bpf_ktime_get_ns();
	bool crowded = scx_bpf_dsq_nr_queued(EVERYBODY) > 0;
	u32 zero = 0;
	s32 cpu;

	beaten_at = now;
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		u64 *began = bpf_map_lookup_percpu_elem(&began_at, &zero, cpu);

		if (!began || now - *began < turn_ns)
			continue;
		if (crowded || scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | cpu) > 0)
			scx_bpf_kick_cpu(cpu, SCX_KICK_PREEMPT);
	}
	bpf_timer_start(&beat->timer, period_ns, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(endless_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice(), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(endless_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, EVERYBODY, slice(), enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(endless_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(EVERYBODY);
}

void SEC("struct_ops/running") BPF_PROG(endless_running, struct task_struct *p)
{
	u32 zero = 0;
	u64 *began = bpf_map_lookup_percpu_elem(&began_at, &zero, scx_bpf_task_cpu(p));

	if (began)
		*began = bpf_ktime_get_ns();
}

s32 SEC("struct_ops.s/init") BPF_PROG(endless_init)
{
	u32 zero = 0;
	struct beat *beat = bpf_map_lookup_elem(&beats, &zero);
	s32 err = scx_bpf_create_dsq(EVERYBODY, -1);

	if (err || !beat)
		return err;
	bpf_timer_init(&beat->timer, &beats, MONOTONIC);
	bpf_timer_set_callback(&beat->timer, beat_once);
	return bpf_timer_start(&beat->timer, period_ns, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops endless_ops = {
	.select_cpu = (void *)endless_select_cpu,
	.enqueue = (void *)endless_enqueue,
	.dispatch = (void *)endless_dispatch,
	.running = (void *)endless_running,
	.init = (void *)endless_init,
	.name = "endless_slices",
};
