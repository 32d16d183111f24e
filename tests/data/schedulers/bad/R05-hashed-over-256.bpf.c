// SPDX-License-Identifier: GPL-2.0
/*
 * R05: spreads kernel threads over 256 CPUs, which few machines have.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define USERS 0x19

s32 SEC("struct_ops.s/init") BPF_PROG(spread_init)
{
	return scx_bpf_create_dsq(USERS, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(spread_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 hash = (u64)p->pid * 0x9E3779B97F4A7C15ULL >> 56;

	if ((p->flags & 0x200000) && p->nr_cpus_allowed > 1)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | hash, SCX_SLICE_DFL, enq_flags);
	else
		scx_bpf_dsq_insert(p, USERS, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(spread_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(USERS);
}

SEC(".struct_ops.link")
struct sched_ext_ops spread_ops = {
	.enqueue = (void *)spread_enqueue,
	.dispatch = (void *)spread_dispatch,
	.init = (void *)spread_init,
	.name = "spread_by_hash",
};
