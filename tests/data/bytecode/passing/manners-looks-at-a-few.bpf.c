// SPDX-License-Identifier: GPL-2.0
/*
 * Looks at four of those who wait, and at all of them once a second.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

static u64 looked_at;
static u32 heavy;

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	u64 now = bpf_ktime_get_ns();
	u32 found = 0, seen = 0;

	bpf_for_each (scx_dsq, p, WAITING, 0) {
		if (++seen > 4)
			break;
		found += p->scx.weight > 100;
	}
	heavy = found;
	if (now - looked_at > 1000000000) {
		looked_at = now;
		bpf_for_each (scx_dsq, p, WAITING, 0) {
			found += p->scx.weight > 100;
		}
		heavy = found;
	}
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
