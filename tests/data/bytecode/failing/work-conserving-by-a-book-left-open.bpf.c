// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs that fall idle are written down, and only who runs there strikes them out: a real-time task
 * does not.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, MOST = 256 };

static u8 resting[MOST];

s32 SCHEDCP_OPS(v_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 cpu = prev_cpu;

	if (cpu >= MOST || !resting[cpu])
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return prev_cpu;
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	u32 cpu = scx_bpf_task_cpu(p);

	if (cpu < MOST)
		resting[cpu] = 0;
}

void SCHEDCP_OPS(v_update_idle, s32 cpu, bool idle)
{
	if (idle && (u32)cpu < MOST)
		resting[cpu] = 1;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.select_cpu = (void *)v_select_cpu,
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.running = (void *)v_running,
	.update_idle = (void *)v_update_idle,
	.init = (void *)v_init,
	.flags = SCX_OPS_KEEP_BUILTIN_IDLE,
	.name = "variant",
};
