// SPDX-License-Identifier: GPL-2.0
/*
 * Virtual time of each CPU, with a bound on credit and on debt.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} clocks SEC(".maps");

static u64 *clock_here(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&clocks, &zero);
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 *now = clock_here(), vtime = p->scx.dsq_vtime;

	if (now && vtime_before(vtime, *now - SCX_SLICE_DFL))
		vtime = *now - SCX_SLICE_DFL;
	if (now && vtime_before(*now + 500000000, vtime))
		vtime = *now + 500000000;
	scx_bpf_dsq_insert_vtime(p, WAITING, SCX_SLICE_DFL, vtime, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

void SCHEDCP_OPS(v_running, struct task_struct *p)
{
	u64 *now = clock_here();

	if (now && vtime_before(*now, p->scx.dsq_vtime))
		*now = p->scx.dsq_vtime;
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
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.running = (void *)v_running,
	.stopping = (void *)v_stopping,
	.init = (void *)v_init,
	.name = "variant",
};
