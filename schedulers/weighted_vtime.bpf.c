// SPDX-License-Identifier: GPL-2.0
/*
 * weighted_vtime: CPU time in proportion to weight.
 *
 * Each task's CPU time, divided by its weight (nice), is its virtual time; the smallest runs next,
 * and goes on while it is the smallest. One queue serves all CPUs; tasks bound to a CPU wait in
 * that CPU's own queue and are compared with the shared one by the same clock. Sleepers may bank
 * one slice of credit at most, and whoever has waited for `ageing_ns` goes first, so that neither
 * sleepers nor weights starve anybody.
 *
 * Good for: mixes of tasks with different nice values; short queues on few CPUs.
 * Bad for: wakeup latency beside CPU hogs (nobody is preempted), large machines (one queue),
 * cgroup weights and cpu.max (not enforced: weights are those of tasks).
 */
#include "schedcp/queues.bpf.h"
#include "schedcp/slices.bpf.h"

SCHEDCP_LICENSE;

/* How long a task may run before the next one gets its CPU; enforced at ticks. */
const volatile u64 slice_ns = 4 * NSEC_PER_MSEC;

s32 SCHEDCP_OPS(weighted_vtime_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
		STAT_INC(idle_dispatches);
	}
	return cpu;
}

void SCHEDCP_OPS(weighted_vtime_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);

	if (!wait) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	vtime_clamp(wait, slice_ns);
	if (is_pinned(p)) {
		pinned_insert(p, wait, scx_bpf_task_cpu(p), slice_ns, wait->vtime, enq_flags);
		return;
	}
	ordered_insert(p, wait, SHARED_DSQ, slice_ns, wait->vtime, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

/* It is not queued again yet: without this, whoever waits would be next, whatever its weight. */
static __always_inline bool goes_on(struct task_struct *prev, s32 cpu)
{
	struct wait_ctx *wait;
	u64 order, head;

	if (!wants_on(prev))
		return false;
	wait = wait_ctx_of(prev);
	if (!wait)
		return false;
	order = wait->vtime + used_since(wait) * WEIGHT_DEFAULT / (prev->scx.weight ?: 1);
	if (next_order(cpu, &head) && !vtime_before(order, head))
		return false;
	slice_renew(prev, slice_ns);
	return true;
}

void SCHEDCP_OPS(weighted_vtime_dispatch, s32 cpu, struct task_struct *prev)
{
	queues_age(cpu);
	if (!first_move_to_local(cpu) && !goes_on(prev, cpu))
		ordered_move_to_local(cpu);
}

void SCHEDCP_OPS(weighted_vtime_running, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);

	if (wait)
		wait_running(wait);
}

void SCHEDCP_OPS(weighted_vtime_stopping, struct task_struct *p, bool runnable)
{
	struct wait_ctx *wait = wait_ctx_of(p);

	if (wait)
		wait_stopping(wait, p);
}

s32 SCHEDCP_OPS_SLEEPABLE(weighted_vtime_init_task, struct task_struct *p,
			  struct scx_init_task_args *args)
{
	return wait_ctx_create(p);
}

/* The task may come from another class: what it did there is not charged. */
void SCHEDCP_OPS(weighted_vtime_enable, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);

	if (wait)
		wait->vtime = vtime_now;
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(weighted_vtime_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(weighted_vtime_init)
{
	return queues_create();
}

void SCHEDCP_OPS(weighted_vtime_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops weighted_vtime_ops = {
	.select_cpu = (void *)weighted_vtime_select_cpu,
	.enqueue = (void *)weighted_vtime_enqueue,
	.dispatch = (void *)weighted_vtime_dispatch,
	.running = (void *)weighted_vtime_running,
	.stopping = (void *)weighted_vtime_stopping,
	.init_task = (void *)weighted_vtime_init_task,
	.enable = (void *)weighted_vtime_enable,
	.cpu_release = (void *)weighted_vtime_cpu_release,
	.init = (void *)weighted_vtime_init,
	.exit = (void *)weighted_vtime_exit,
	.timeout_ms = 10000,
	.name = "schedcp_weighted_vtime",
};
