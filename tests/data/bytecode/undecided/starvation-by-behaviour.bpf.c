// SPDX-License-Identifier: GPL-2.0
/*
 * Short bursts first and nothing else, and whether bursts stay short is up to the tasks.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { BRIEF = 0x30, LONG };

struct task_ctx {
	u64 burst_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = bpf_task_storage_get(&task_ctxs, p, 0, 0);

	scx_bpf_dsq_insert(p, tctx && tctx->burst_ns < 2000000 ? BRIEF : LONG, SCX_SLICE_DFL,
			   enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!scx_bpf_dsq_move_to_local(BRIEF))
		scx_bpf_dsq_move_to_local(LONG);
}

void SCHEDCP_OPS(v_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tctx = bpf_task_storage_get(&task_ctxs, p, 0, 0);

	if (tctx)
		tctx->burst_ns = runnable ? tctx->burst_ns + SCX_SLICE_DFL - p->scx.slice : 0;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&task_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0
										      : -NO_MEMORY;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(BRIEF, -1) ?: scx_bpf_create_dsq(LONG, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.stopping = (void *)v_stopping,
	.init_task = (void *)v_init_task,
	.init = (void *)v_init,
	.name = "variant",
};
