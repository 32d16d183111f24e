// SPDX-License-Identifier: GPL-2.0
/*
 * One word says which CPUs have something to do.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { BASE = 0x300 };

static u64 busy;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, BASE + cpu, SCX_SLICE_DFL, enq_flags);
	__sync_fetch_and_or(&busy, 1ULL << cpu % 64);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 mine = 1ULL << cpu % 64;

	if (busy & mine) {
		if (!scx_bpf_dsq_move_to_local(BASE + cpu))
			__sync_fetch_and_and(&busy, ~mine);
	}
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	s32 i, err;

	bpf_for (i, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(BASE + i, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
