// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks with short bursts first: the order is the time of arrival plus some multiple of the average
 * burst. The sum is capped, so that the longest burst costs at most `penalty_most_ns` of waiting.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { SHORT_DSQ = 77, PENALTY_FACTOR = 10 };

const volatile u64 slice_ns = 5 * NSEC_PER_MSEC;
const volatile u64 penalty_most_ns = 300 * NSEC_PER_MSEC;

struct burst {
	u64 average_ns;
	u64 present_ns;
	u64 running_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct burst);
} bursts SEC(".maps");

static u64 penalty(const struct burst *burst)
{
	u64 ns = burst->average_ns > burst->present_ns ? burst->average_ns : burst->present_ns;

	ns *= PENALTY_FACTOR;
	return ns < penalty_most_ns ? ns : penalty_most_ns;
}

s32 SCHEDCP_OPS(shortest_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SCHEDCP_OPS(shortest_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct burst *burst = bpf_task_storage_get(&bursts, p, 0, 0);
	u64 order = bpf_ktime_get_ns() + (burst ? penalty(burst) : penalty_most_ns);

	scx_bpf_dsq_insert_vtime(p, SHORT_DSQ, slice_ns, order, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

void SCHEDCP_OPS(shortest_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SHORT_DSQ);
}

void SCHEDCP_OPS(shortest_running, struct task_struct *p)
{
	struct burst *burst = bpf_task_storage_get(&bursts, p, 0, 0);

	if (burst)
		burst->running_at = bpf_ktime_get_ns();
}

void SCHEDCP_OPS(shortest_stopping, struct task_struct *p, bool runnable)
{
	struct burst *burst = bpf_task_storage_get(&bursts, p, 0, 0);

	if (burst)
		burst->present_ns += bpf_ktime_get_ns() - burst->running_at;
}

void SCHEDCP_OPS(shortest_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct burst *burst = bpf_task_storage_get(&bursts, p, 0, 0);

	if (!burst || !(deq_flags & SCX_DEQ_SLEEP))
		return;
	burst->average_ns = (3 * burst->average_ns + burst->present_ns) / 4;
	burst->present_ns = 0;
}

s32 SCHEDCP_OPS_SLEEPABLE(shortest_init_task, struct task_struct *p,
			  struct scx_init_task_args *args)
{
	struct burst *burst = bpf_task_storage_get(&bursts, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	return burst ? 0 : -NO_MEMORY;
}

s32 SCHEDCP_OPS_SLEEPABLE(shortest_init)
{
	return scx_bpf_create_dsq(SHORT_DSQ, -1);
}

void SCHEDCP_OPS_SLEEPABLE(shortest_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops shortest_ops = {
	.select_cpu = (void *)shortest_select_cpu,
	.enqueue = (void *)shortest_enqueue,
	.dispatch = (void *)shortest_dispatch,
	.running = (void *)shortest_running,
	.stopping = (void *)shortest_stopping,
	.quiescent = (void *)shortest_quiescent,
	.init_task = (void *)shortest_init_task,
	.init = (void *)shortest_init,
	.exit = (void *)shortest_exit,
	.timeout_ms = 8000,
	.name = "shortest_first_capped",
};
