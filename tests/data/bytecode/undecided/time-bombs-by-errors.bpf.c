// SPDX-License-Identifier: GPL-2.0
/*
 * What should not happen is counted, and after a thousand times nobody is served.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct own {
	u64 runs;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct own);
} owns SEC(".maps");

static u64 missing;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (!bpf_task_storage_get(&owns, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE))
		missing++;
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (missing < 1000)
		scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
