// SPDX-License-Identifier: GPL-2.0
/*
 * What each task did on each CPU is written down, and all of it is struck out when it goes.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, CPUS_MOST = 512 };

struct visit {
	u32 pid;
	u32 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100000);
	__type(key, struct visit);
	__type(value, u32);
} visits SEC(".maps");

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	struct visit visit = {.pid = p->pid, .cpu = scx_bpf_task_cpu(p)};
	u32 once = 1;

	bpf_map_update_elem(&visits, &visit, &once, BPF_ANY);
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	u32 cpu;

	for (cpu = 0; cpu < CPUS_MOST; cpu++) {
		struct visit visit = {.pid = p->pid, .cpu = cpu};

		if (cpu >= scx_bpf_nr_cpu_ids())
			break;
		bpf_map_delete_elem(&visits, &visit);
	}
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.running = (void *)v_running,
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.exit_task = (void *)v_exit_task,
	.init = (void *)v_init,
	.name = "variant",
};
