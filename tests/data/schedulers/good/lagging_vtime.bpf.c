// SPDX-License-Identifier: GPL-2.0
/*
 * CPU time in proportion to weight. Each task's virtual time is kept in its own storage; a task
 * that is ahead of the others has to wait for as long as it is ahead, but never for more than
 * `lag_ns` of real time, so that no weight can starve another.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define ORDERED 0x900

const volatile u64 slice_ns = 5000000;
const volatile u64 lag_ns = 400000000;

enum { NO_MEMORY = 12, NICE_0_WEIGHT = 100, SMOOTHING = 8 };

struct lag_ctx {
	u64 vtime;
	u64 started_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lag_ctx);
} lags SEC(".maps");

/* The virtual time of those who run, smoothed. */
static u64 average_vtime;

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lagging_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lagging_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct lag_ctx *lag = bpf_task_storage_get(&lags, p, 0, 0);
	u64 ahead = 0, now = bpf_ktime_get_ns();
	s32 cpu;

	if (lag && (s64)(lag->vtime - average_vtime) > 0)
		ahead = lag->vtime - average_vtime;
	if (ahead > lag_ns)
		ahead = lag_ns;
	scx_bpf_dsq_insert_vtime(p, ORDERED, slice_ns, now + ahead, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lagging_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(ORDERED);
}

void SEC("struct_ops/running") BPF_PROG(lagging_running, struct task_struct *p)
{
	struct lag_ctx *lag = bpf_task_storage_get(&lags, p, 0, 0);

	if (!lag)
		return;
	lag->started_at = bpf_ktime_get_ns();
	/* Who slept for long starts where the others are. */
	if ((s64)(average_vtime - lag->vtime) > (s64)lag_ns)
		lag->vtime = average_vtime - lag_ns;
	average_vtime += (s64)(lag->vtime - average_vtime) / SMOOTHING;
}

void SEC("struct_ops/stopping") BPF_PROG(lagging_stopping, struct task_struct *p, bool runnable)
{
	struct lag_ctx *lag = bpf_task_storage_get(&lags, p, 0, 0);
	u64 now = bpf_ktime_get_ns();

	if (lag && now > lag->started_at)
		lag->vtime += (now - lag->started_at) * NICE_0_WEIGHT / (p->scx.weight ?: 1);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(lagging_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct lag_ctx *lag = bpf_task_storage_get(&lags, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!lag)
		return -NO_MEMORY;
	lag->vtime = average_vtime;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(lagging_init)
{
	return scx_bpf_create_dsq(ORDERED, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops lagging_ops = {
	.select_cpu = (void *)lagging_select_cpu,
	.enqueue = (void *)lagging_enqueue,
	.dispatch = (void *)lagging_dispatch,
	.running = (void *)lagging_running,
	.stopping = (void *)lagging_stopping,
	.init_task = (void *)lagging_init_task,
	.init = (void *)lagging_init,
	.name = "lagging_vtime",
};
