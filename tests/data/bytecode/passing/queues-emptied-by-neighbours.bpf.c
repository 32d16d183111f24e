// SPDX-License-Identifier: GPL-2.0
/*
 * A queue for each group of CPUs, which a map tells; a CPU helps other groups out.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { GROUP = 0x1000 };

const volatile u32 nr_groups = 2;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u32);
} group_of_cpu SEC(".maps");

static u32 group_of(s32 cpu)
{
	u32 key = cpu, *group = bpf_map_lookup_elem(&group_of_cpu, &key);

	return group ? *group : 0;
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, GROUP + group_of(cpu), SCX_SLICE_DFL, enq_flags);
	kick_idle_for(p, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 mine = group_of(cpu), i;

	if (scx_bpf_dsq_move_to_local(GROUP + mine))
		return;
	bpf_for (i, 1, nr_groups) {
		if (scx_bpf_dsq_move_to_local(GROUP + (mine + i) % (nr_groups ?: 1)))
			return;
	}
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	u32 i;
	s32 err;

	bpf_for (i, 0, nr_groups) {
		err = scx_bpf_create_dsq(GROUP + i, -1);
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
