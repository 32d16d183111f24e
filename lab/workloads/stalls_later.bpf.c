// SPDX-License-Identifier: GPL-2.0
/*
 * stalls_later: a time bomb, for the demo's third act. A healthy FIFO on a machine that was booted
 * recently; on one that has been up for longer than `healthy_uptime_seconds` it forgets the kernel
 * threads of single CPUs, so that everybody else goes on while the node decays.
 *
 * Good for: showing what happens on a node when a defect gets past a verifier that does not look.
 * Bad for: everything else.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

const volatile u64 healthy_uptime_seconds = 60;
const volatile u64 slice_ns = 10 * NSEC_PER_MSEC;

enum stalls_later_dsq {
	KTHREAD_DSQ = 3,
};

void SCHEDCP_OPS(stalls_later_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 dsq = is_kthread(p) && is_pinned(p) ? KTHREAD_DSQ : SHARED_DSQ;

	scx_bpf_dsq_insert(p, dsq, slice_ns, enq_flags);
	kick_idle_for(p, enq_flags);
	STAT_INC(shared_dispatches);
}

void SCHEDCP_OPS(stalls_later_dispatch, s32 cpu, struct task_struct *prev)
{
	if (bpf_ktime_get_boot_ns() < healthy_uptime_seconds * NSEC_PER_SEC &&
	    scx_bpf_dsq_move_to_local(KTHREAD_DSQ))
		return;
	scx_bpf_dsq_move_to_local(SHARED_DSQ);
}

s32 SCHEDCP_OPS_SLEEPABLE(stalls_later_init)
{
	s32 err = scx_bpf_create_dsq(KTHREAD_DSQ, -1);

	return err ?: scx_bpf_create_dsq(SHARED_DSQ, -1);
}

void SCHEDCP_OPS(stalls_later_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops stalls_later_ops = {
	.enqueue = (void *)stalls_later_enqueue,
	.dispatch = (void *)stalls_later_dispatch,
	.init = (void *)stalls_later_init,
	.exit = (void *)stalls_later_exit,
	.timeout_ms = 5000,
	.name = "stalls_later",
};
