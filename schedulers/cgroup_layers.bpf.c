// SPDX-License-Identifier: GPL-2.0
/*
 * cgroup_layers: cpu.weight and cpu.max of cgroups, level by level.
 *
 * Each task deserves the part of the machine that the weights of its cgroups and its own (nice)
 * give it among all who want to run now; its CPU time divided by that part is its virtual time, and
 * the smallest runs next. The running task goes on while it comes before all who wait. A cgroup
 * that has used its cpu.max up waits apart until it has some again. One queue serves all CPUs;
 * tasks bound to a CPU wait in that CPU's own queue, by the same clock. Sleepers may bank one slice
 * of credit at most, and whoever has waited for `ageing_ns` goes first, so that neither weights nor
 * limits starve anybody.
 *
 * Good for: nodes where pods' requests and limits must hold, whatever their number of threads.
 * Bad for: wakeup latency beside CPU hogs (nobody is preempted), large machines (one queue), limits
 * far below a tick (4 ms at 250 Hz) in every period for many tasks: ageing lets them exceed it.
 */
#include "schedcp/group_ops.bpf.h"
#include "schedcp/group_task_ops.bpf.h"

SCHEDCP_LICENSE;

/* How long a task may run before the next one gets its CPU; enforced at ticks. */
const volatile u64 slice_ns = 4 * NSEC_PER_MSEC;

s32 SCHEDCP_OPS(cgroup_layers_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct group_member *member = group_member_of(p);
	bool is_idle = false;
	s32 cpu;

	if (!member || group_throttled(member))
		return prev_cpu;
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
		STAT_INC(idle_dispatches);
	}
	return cpu;
}

void SCHEDCP_OPS(cgroup_layers_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct group_member *member = group_member_of(p);
	u64 order;

	if (!wait || !member) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, slice_ns, enq_flags);
		return;
	}
	if (group_throttled(member)) {
		throttled_insert(p, wait, member, slice_ns, enq_flags);
		return;
	}
	order = group_order(wait, member, slice_ns, enq_flags);
	if (is_pinned(p)) {
		pinned_insert(p, wait, scx_bpf_task_cpu(p), slice_ns, order, enq_flags);
		return;
	}
	ordered_insert(p, wait, SHARED_DSQ, slice_ns, order, enq_flags);
	group_kick(p, enq_flags);
	STAT_INC(shared_dispatches);
}

void SCHEDCP_OPS(cgroup_layers_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();

	throttled_let_go(now);
	queues_age(cpu);
	if (!first_move_to_local(cpu))
		group_move_to_local(cpu, prev, now, slice_ns);
}

void SCHEDCP_OPS(cgroup_layers_tick, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct group_member *member = group_member_of(p);

	if (!wait || !member)
		return;
	group_charge(wait, member);
	if (group_throttled(member))
		slice_set(p, 0);
}

void SCHEDCP_OPS(cgroup_layers_running, struct task_struct *p)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct group_member *member = group_member_of(p);

	if (!wait || !member)
		return;
	group_running(wait, member);
	groups_look(p, member);
}

void SCHEDCP_OPS(cgroup_layers_stopping, struct task_struct *p, bool runnable)
{
	struct wait_ctx *wait = wait_ctx_of(p);
	struct group_member *member = group_member_of(p);

	if (wait && member)
		group_charge(wait, member);
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(cgroup_layers_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(cgroup_layers_init)
{
	s32 err = queues_create();

	return err ?: throttled_create();
}

void SCHEDCP_OPS(cgroup_layers_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops cgroup_layers_ops = {
	.select_cpu = (void *)cgroup_layers_select_cpu,
	.enqueue = (void *)cgroup_layers_enqueue,
	.dispatch = (void *)cgroup_layers_dispatch,
	.tick = (void *)cgroup_layers_tick,
	.runnable = (void *)group_task_runnable,
	.running = (void *)cgroup_layers_running,
	.stopping = (void *)cgroup_layers_stopping,
	.quiescent = (void *)group_task_quiescent,
	.init_task = (void *)group_task_init,
	.enable = (void *)group_enable,
	.cgroup_init = (void *)group_cgroup_init,
	.cgroup_exit = (void *)group_cgroup_exit,
	.cgroup_set_weight = (void *)group_cgroup_set_weight,
	.cpu_release = (void *)cgroup_layers_cpu_release,
	.init = (void *)cgroup_layers_init,
	.exit = (void *)cgroup_layers_exit,
	.flags = SCX_OPS_ENQ_LAST,
	.timeout_ms = 10000,
	.name = "schedcp_cgroup_layers",
};
