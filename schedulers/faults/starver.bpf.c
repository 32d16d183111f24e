// SPDX-License-Identifier: GPL-2.0
/*
 * starver: a FIFO that never runs tasks with a weight below the default one (nice above 0).
 *
 * For tests: whoever measures starvation must see it, and the kernel's watchdog must eject it.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

const volatile u64 slice_ns = 10 * NSEC_PER_MSEC;

enum starver_dsq {
	STARVED_DSQ = 3, /* nobody takes from it */
};

void SCHEDCP_OPS(starver_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (p->scx.weight < WEIGHT_DEFAULT && !is_kthread(p)) {
		scx_bpf_dsq_insert(p, STARVED_DSQ, slice_ns, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, SHARED_DSQ, slice_ns, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

void SCHEDCP_OPS(starver_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SHARED_DSQ);
}

s32 SCHEDCP_OPS_SLEEPABLE(starver_init)
{
	s32 err = scx_bpf_create_dsq(STARVED_DSQ, -1);

	return err ?: scx_bpf_create_dsq(SHARED_DSQ, -1);
}

void SCHEDCP_OPS(starver_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops starver_ops = {
	.enqueue = (void *)starver_enqueue,
	.dispatch = (void *)starver_dispatch,
	.init = (void *)starver_init,
	.exit = (void *)starver_exit,
	.timeout_ms = 5000,
	.name = "schedcp_starver",
};
