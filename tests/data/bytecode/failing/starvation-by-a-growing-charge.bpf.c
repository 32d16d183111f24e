// SPDX-License-Identifier: GPL-2.0
/*
 * Who wakes others pays for it, each time more than the time before.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct task_ctx {
	u64 wakes;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_ctx);
} task_ctxs SEC(".maps");

static u64 vtime_now;

s32 SCHEDCP_OPS(v_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_struct *waker = bpf_get_current_task_btf();
	struct task_ctx *tctx =
		bpf_task_storage_get(&task_ctxs, waker, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool idle = false;

	if (tctx) {
		tctx->wakes++;
		waker->scx.dsq_vtime += tctx->wakes * NSEC_PER_USEC;
	}
	return scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	if ((s64)(p->scx.dsq_vtime - (vtime_now - SCX_SLICE_DFL)) < 0)
		p->scx.dsq_vtime = vtime_now - SCX_SLICE_DFL;
	scx_bpf_dsq_insert_vtime(p, WAITING, SCX_SLICE_DFL, p->scx.dsq_vtime, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	if ((s64)(p->scx.dsq_vtime - vtime_now) > 0)
		vtime_now = p->scx.dsq_vtime;
}

void SCHEDCP_OPS(v_stopping, struct task_struct *p, bool runnable)
{
	p->scx.dsq_vtime += (SCX_SLICE_DFL - p->scx.slice) * 100 / p->scx.weight;
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.select_cpu = (void *)v_select_cpu,
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.running = (void *)v_running,
	.stopping = (void *)v_stopping,
	.init = (void *)v_init,
	.name = "variant",
};
