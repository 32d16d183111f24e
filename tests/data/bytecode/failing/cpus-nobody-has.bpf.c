// SPDX-License-Identifier: GPL-2.0
/*
 * Takes what scx_bpf_pick_idle_cpu() says for a CPU, also when it says that there is none.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | scx_bpf_pick_idle_cpu(p->cpus_ptr, 0),
			   SCX_SLICE_DFL, enq_flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.name = "variant",
};
