// SPDX-License-Identifier: GPL-2.0
/*
 * Words of bits say which CPUs have something to do, as many as there are.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { BASE = 0x300, WORDS = 128 };

static u64 busy[WORDS];

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);
	u32 word = (u32)cpu / 64;

	scx_bpf_dsq_insert(p, BASE + cpu, SCX_SLICE_DFL, enq_flags);
	if (word < WORDS)
		__sync_fetch_and_or(&busy[word], 1ULL << cpu % 64);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 other, nr = scx_bpf_nr_cpu_ids();

	if (scx_bpf_dsq_move_to_local(BASE + cpu))
		return;
	bpf_for (other, 0, nr) {
		u32 word = (u32)other / 64;

		if (word < WORDS && !(busy[word] & 1ULL << other % 64))
			continue;
		if (scx_bpf_dsq_move_to_local(BASE + other))
			return;
		if (word < WORDS)
			__sync_fetch_and_and(&busy[word], ~(1ULL << other % 64));
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
