// SPDX-License-Identifier: GPL-2.0
/*
 * R06: dispatch takes the heaviest of those who wait, whether it may run here or not.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define POOL 0x1b

s32 SEC("struct_ops.s/init") BPF_PROG(heaviest_init)
{
	return scx_bpf_create_dsq(POOL, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(heaviest_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, POOL, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(heaviest_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	u32 seen = 0, most = 0;

	bpf_for_each (scx_dsq, p, POOL, 0) {
		if (p->scx.weight > most)
			most = p->scx.weight;
		if (++seen == 8)
			break;
	}
	seen = 0;
	bpf_for_each (scx_dsq, p, POOL, 0) {
		if (p->scx.weight >= most && scx_bpf_dsq_move(&___it, p, SCX_DSQ_LOCAL, 0))
			return;
		if (++seen == 8)
			break;
	}
	scx_bpf_dsq_move_to_local(POOL);
}

SEC(".struct_ops.link")
struct sched_ext_ops heaviest_ops = {
	.enqueue = (void *)heaviest_enqueue,
	.dispatch = (void *)heaviest_dispatch,
	.init = (void *)heaviest_init,
	.name = "heaviest_first",
};
