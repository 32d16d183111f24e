// SPDX-License-Identifier: GPL-2.0
/*
 * late_stall: a time bomb. A healthy FIFO for `healthy_seconds`, then it hands out no task at all.
 *
 * For tests and demonstrations of what happens on a node: no soak that is shorter can see it; the
 * kernel's watchdog must eject it ("runnable task stall", kind 1026). Never for production.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

const volatile u64 healthy_seconds = 120;
const volatile u64 slice_ns = 10 * NSEC_PER_MSEC;

u64 started_at;

static __always_inline bool is_healthy(void)
{
	return bpf_ktime_get_ns() - started_at < healthy_seconds * NSEC_PER_SEC;
}

void SCHEDCP_OPS(late_stall_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SHARED_DSQ, slice_ns, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

void SCHEDCP_OPS(late_stall_dispatch, s32 cpu, struct task_struct *prev)
{
	if (is_healthy())
		scx_bpf_dsq_move_to_local(SHARED_DSQ);
}

s32 SCHEDCP_OPS_SLEEPABLE(late_stall_init)
{
	started_at = bpf_ktime_get_ns();
	return scx_bpf_create_dsq(SHARED_DSQ, -1);
}

void SCHEDCP_OPS(late_stall_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops late_stall_ops = {
	.enqueue = (void *)late_stall_enqueue,
	.dispatch = (void *)late_stall_dispatch,
	.init = (void *)late_stall_init,
	.exit = (void *)late_stall_exit,
	.timeout_ms = 5000,
	.name = "schedcp_late_stall",
};
