// SPDX-License-Identifier: GPL-2.0
/*
 * A task goes to the CPU on which it ran last, whether it may still run there or not.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

struct place {
	s32 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct place);
} places SEC(".maps");

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct place *place = bpf_task_storage_get(&places, p, 0, 0);
	u64 queue = place ? SCX_DSQ_LOCAL_ON | place->cpu : SCX_DSQ_GLOBAL;

	scx_bpf_dsq_insert(p, queue, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	struct place *place = bpf_task_storage_get(&places, p, 0, 0);

	if (place)
		place->cpu = scx_bpf_task_cpu(p);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&places, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -NO_MEMORY;
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.running = (void *)v_running,
	.init_task = (void *)v_init_task,
	.name = "variant",
};
