// SPDX-License-Identifier: GPL-2.0
/*
 * The ids lie in a table; a variable and a storage remember them.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

struct task_ctx {
	u64 queue;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

static const u64 ids[2] = {0x31, 0x32};
static u32 dispatches;

void SCHEDCP_OPS(v_runnable, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = bpf_task_storage_get(&task_ctxs, p, 0, 0);

	if (tctx)
		tctx->queue = ids[p->scx.weight > 100];
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = bpf_task_storage_get(&task_ctxs, p, 0, 0);
	u64 queue = tctx && tctx->queue ? tctx->queue : 0x32;

	scx_bpf_dsq_insert(p, queue, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 first = 0x31, second = 0x32;

	if (__sync_fetch_and_add(&dispatches, 1) % 3 == 2) {
		first = 0x32;
		second = 0x31;
	}
	if (!scx_bpf_dsq_move_to_local(first))
		scx_bpf_dsq_move_to_local(second);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&task_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0
										      : -NO_MEMORY;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(0x31, -1) ?: scx_bpf_create_dsq(0x32, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.runnable = (void *)v_runnable,
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init_task = (void *)v_init_task,
	.init = (void *)v_init,
	.name = "variant",
};
