// SPDX-License-Identifier: GPL-2.0
/*
 * A queue for each CPU. Who has nothing to do helps the nearest CPU first: those whose number
 * differs in the lowest bits.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

#define MS 1000000ULL

s32 SEC("struct_ops/near_select_cpu")
	BPF_PROG(near_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 3 * MS, 0);
	return cpu;
}

void SEC("struct_ops/near_enqueue") BPF_PROG(near_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, pinned_dsq(scx_bpf_task_cpu(p)), 3 * MS, enq_flags);
	kick_idle_for(p, enq_flags);
}

static int top(u32 n)
{
	n |= n >> 1;
	n |= n >> 2;
	n |= n >> 4;
	n |= n >> 8;
	return n + 1;
}

void SEC("struct_ops/near_dispatch") BPF_PROG(near_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 d, nr = scx_bpf_nr_cpu_ids();

	bpf_for (d, 0, top(nr - 1)) {
		u32 who = (u32)cpu ^ d;

		if (who >= nr)
			continue;
		if (scx_bpf_dsq_move_to_local(pinned_dsq(who)))
			return;
	}
}

s32 SEC("struct_ops.s/near_init") BPF_PROG(near_init)
{
	return pinned_dsqs_create();
}

SEC(".struct_ops.link")
struct sched_ext_ops near_ops = {
	.select_cpu = (void *)near_select_cpu,
	.enqueue = (void *)near_enqueue,
	.dispatch = (void *)near_dispatch,
	.init = (void *)near_init,
	.name = "near",
};
