// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks wait in a table with room for 512, and what does not fit is counted.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, s32);
	__type(value, u64);
} waiting SEC(".maps");

static u64 dropped;

static long give(void *map, s32 *pid, u64 *at, void *ctx)
{
	struct task_struct *p = bpf_task_from_pid(*pid);

	if (p) {
		scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, 0);
		bpf_task_release(p);
	}
	bpf_map_delete_elem(&waiting, pid);
	return 1;
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;
	u64 now = bpf_ktime_get_ns();

	if (bpf_map_update_elem(&waiting, &pid, &now, BPF_ANY) < 0)
		__sync_fetch_and_add(&dropped, 1);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	bpf_for_each_map_elem(&waiting, give, NULL, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.name = "variant",
};
