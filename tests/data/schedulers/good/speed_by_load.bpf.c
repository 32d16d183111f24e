// SPDX-License-Identifier: GPL-2.0
/*
 * Order of arrival, and a CPU's speed by how busy it was: the share of time that it ran something,
 * averaged, with some room above; never below a quarter.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SPEEDY_Q 0xd07

enum { SPEED_MOST = 1024, SPEED_LEAST = 256, SMOOTHING = 8 };

struct busy {
	u64 running_at;
	u64 stopped_at;
	u64 share; /* of SPEED_MOST */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct busy);
} busies SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(speed_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(speed_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, SPEEDY_Q, SCX_SLICE_DFL, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(speed_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SPEEDY_Q);
}

void SEC("struct_ops/running") BPF_PROG(speed_running, struct task_struct *p)
{
	u32 zero = 0;
	struct busy *busy = bpf_map_lookup_elem(&busies, &zero);

	if (busy)
		busy->running_at = bpf_ktime_get_ns();
}

void SEC("struct_ops/stopping") BPF_PROG(speed_stopping, struct task_struct *p, bool runnable)
{
	u32 zero = 0;
	struct busy *busy = bpf_map_lookup_elem(&busies, &zero);
	u64 now = bpf_ktime_get_ns(), whole, speed;

	if (!busy || now <= busy->stopped_at)
		return;
	whole = now - busy->stopped_at;
	busy->share =
		(busy->share * (SMOOTHING - 1) + (now - busy->running_at) * SPEED_MOST / whole) /
		SMOOTHING;
	busy->stopped_at = now;
	speed = busy->share + busy->share / 4;
	if (speed > SPEED_MOST)
		speed = SPEED_MOST;
	scx_bpf_cpuperf_set(scx_bpf_task_cpu(p), speed < SPEED_LEAST ? SPEED_LEAST : speed);
}

s32 SEC("struct_ops.s/init") BPF_PROG(speed_init)
{
	return scx_bpf_create_dsq(SPEEDY_Q, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops speed_ops = {
	.select_cpu = (void *)speed_select_cpu,
	.enqueue = (void *)speed_enqueue,
	.dispatch = (void *)speed_dispatch,
	.running = (void *)speed_running,
	.stopping = (void *)speed_stopping,
	.init = (void *)speed_init,
	.name = "speed_by_load",
};
