// SPDX-License-Identifier: GPL-2.0
/*
 * simple_fifo: first come, first served.
 *
 * A waking task goes straight to an idle CPU; otherwise it waits in one queue that all CPUs serve
 * in order of arrival. Tasks bound to one CPU wait in that CPU's own queue, and a CPU takes turns
 * between the two, so that neither can starve the other. Kernel threads go first in the latter.
 *
 * Good for: throughput of many equal, independent tasks; a baseline that is easy to reason about.
 * Bad for: latency beside CPU hogs (a waking task waits for everyone ahead), nice values and
 * cgroup weights (it ignores both), cpu.max (not enforced).
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

/* How long a task may run before the next one gets its CPU; enforced at ticks. */
const volatile u64 slice_ns = 10 * NSEC_PER_MSEC;

struct cpu_ctx {
	u64 pinned_turn; /* the next dispatch looks at the CPU's own queue first */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cpu_ctx);
} cpu_ctxs SEC(".maps");

s32 SCHEDCP_OPS(simple_fifo_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
		STAT_INC(idle_dispatches);
	}
	return cpu;
}

void SCHEDCP_OPS(simple_fifo_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (is_pinned(p)) {
		u64 head = is_kthread(p) ? SCX_ENQ_HEAD : 0;

		scx_bpf_dsq_insert(p, pinned_dsq(cpu), slice_ns, enq_flags | head);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		STAT_INC(pinned_dispatches);
		return;
	}
	scx_bpf_dsq_insert(p, SHARED_DSQ, slice_ns, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

void SCHEDCP_OPS(simple_fifo_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	struct cpu_ctx *cctx = bpf_map_lookup_elem(&cpu_ctxs, &zero);
	u64 first = SHARED_DSQ, second = pinned_dsq(cpu);

	if (cctx && cctx->pinned_turn) {
		first = pinned_dsq(cpu);
		second = SHARED_DSQ;
	}
	if (cctx)
		cctx->pinned_turn = !cctx->pinned_turn;
	if (!scx_bpf_dsq_move_to_local(first))
		scx_bpf_dsq_move_to_local(second);
}

/* A real-time task took the CPU: let the others run what was waiting there. */
void SCHEDCP_OPS(simple_fifo_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SCHEDCP_OPS_SLEEPABLE(simple_fifo_init)
{
	s32 err = scx_bpf_create_dsq(SHARED_DSQ, -1);

	return err ?: pinned_dsqs_create();
}

void SCHEDCP_OPS(simple_fifo_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops simple_fifo_ops = {
	.select_cpu = (void *)simple_fifo_select_cpu,
	.enqueue = (void *)simple_fifo_enqueue,
	.dispatch = (void *)simple_fifo_dispatch,
	.cpu_release = (void *)simple_fifo_cpu_release,
	.init = (void *)simple_fifo_init,
	.exit = (void *)simple_fifo_exit,
	.timeout_ms = 10000,
	.name = "schedcp_simple_fifo",
};
