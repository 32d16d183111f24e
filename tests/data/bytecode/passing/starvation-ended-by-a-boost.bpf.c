// SPDX-License-Identifier: GPL-2.0
/*
 * Three levels in strict order; every second all who wait are lifted to the first.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { LEVEL = 10, BOOST_NS = 1000000000 };

struct task_ctx {
	u32 level;
	u64 used_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

static u64 boosted_at;

static void lift(u64 from)
{
	struct task_struct *p;

	bpf_for_each (scx_dsq, p, from, 0) {
		scx_bpf_dsq_move(BPF_FOR_EACH_ITER, p, LEVEL, 0);
	}
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_ctx *tctx = bpf_task_storage_get(&task_ctxs, p, 0, 0);
	u32 level = tctx ? tctx->level : 0;

	scx_bpf_dsq_insert(p,
			   level == 0	? LEVEL
			   : level == 1 ? LEVEL + 1
					: LEVEL + 2,
			   5000000, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();

	if (now - boosted_at > BOOST_NS) {
		boosted_at = now;
		lift(LEVEL + 1);
		lift(LEVEL + 2);
	}
	if (scx_bpf_dsq_move_to_local(LEVEL) || scx_bpf_dsq_move_to_local(LEVEL + 1))
		return;
	scx_bpf_dsq_move_to_local(LEVEL + 2);
}

void SCHEDCP_OPS(v_stopping, struct task_struct *p, bool runnable)
{
	struct task_ctx *tctx = bpf_task_storage_get(&task_ctxs, p, 0, 0);

	if (!tctx)
		return;
	tctx->used_ns += 5000000 - p->scx.slice;
	if (tctx->used_ns > 10000000 && tctx->level < 2) {
		tctx->level += 1;
		tctx->used_ns = 0;
	}
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&task_ctxs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0
										      : -NO_MEMORY;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(LEVEL, -1) ?: scx_bpf_create_dsq(LEVEL + 1, -1) ?: scx_bpf_create_dsq(LEVEL + 2, -1);
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
