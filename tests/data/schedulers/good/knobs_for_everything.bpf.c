// SPDX-License-Identifier: GPL-2.0
/*
 * Order of arrival with every figure a knob: the slice of ordinary and of light tasks, whether idle
 * CPUs are woken for what waits, and whether waking tasks go straight to an idle one.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { KNOB_DSQ = 12 };

const volatile u64 slice_ns = 10 * NSEC_PER_MSEC;
const volatile u64 light_slice_ns = 4 * NSEC_PER_MSEC;
const volatile u32 light_weight = 50;
const volatile bool direct = true;
const volatile bool wake_idle = true;

static u64 slice_of(const struct task_struct *p)
{
	return p->scx.weight < light_weight ? light_slice_ns : slice_ns;
}

s32 SCHEDCP_OPS(knobs_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle && direct) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		STAT_INC(idle_dispatches);
	}
	return cpu;
}

void SCHEDCP_OPS(knobs_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, KNOB_DSQ, slice_of(p), enq_flags);
	STAT_INC(shared_dispatches);
	if (wake_idle)
		kick_idle_for(p, enq_flags);
}

void SCHEDCP_OPS(knobs_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(KNOB_DSQ);
}

s32 SCHEDCP_OPS_SLEEPABLE(knobs_init)
{
	return scx_bpf_create_dsq(KNOB_DSQ, -1);
}

void SCHEDCP_OPS_SLEEPABLE(knobs_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops knobs_ops = {
	.select_cpu = (void *)knobs_select_cpu,
	.enqueue = (void *)knobs_enqueue,
	.dispatch = (void *)knobs_dispatch,
	.init = (void *)knobs_init,
	.exit = (void *)knobs_exit,
	.timeout_ms = 10000,
	.name = "knobs_for_everything",
};
