// SPDX-License-Identifier: GPL-2.0
/*
 * R17: forty moves between control groups and no more.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define MOVED 0xf2

static s64 leaves = 40;

s32 SEC("struct_ops.s/init") BPF_PROG(moved_init)
{
	return scx_bpf_create_dsq(MOVED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(moved_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, MOVED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(moved_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(MOVED);
}

s32 SEC("struct_ops.s/cgroup_prep_move") BPF_PROG(moved_cgroup_prep_move, struct task_struct *p,
						  struct cgroup *from, struct cgroup *to)
{
	if (leaves <= 0)
		return -1;
	__sync_fetch_and_sub(&leaves, 1);
	return 0;
}

void SEC("struct_ops/cgroup_cancel_move") BPF_PROG(moved_cgroup_cancel_move, struct task_struct *p,
						   struct cgroup *from, struct cgroup *to)
{
	__sync_fetch_and_add(&leaves, 1);
}

SEC(".struct_ops.link")
struct sched_ext_ops moved_ops = {
	.enqueue = (void *)moved_enqueue,
	.dispatch = (void *)moved_dispatch,
	.cgroup_prep_move = (void *)moved_cgroup_prep_move,
	.cgroup_cancel_move = (void *)moved_cgroup_cancel_move,
	.init = (void *)moved_init,
	.name = "moves_counted",
};
