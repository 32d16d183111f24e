// SPDX-License-Identifier: GPL-2.0
/*
 * R17: tasks that are about to run may not change their control group: some starts of containers,
 * and some commands in them, fail.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SETTLED 0xf1

s32 SEC("struct_ops.s/init") BPF_PROG(settled_init)
{
	return scx_bpf_create_dsq(SETTLED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(settled_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SETTLED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(settled_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SETTLED);
}

s32 SEC("struct_ops.s/cgroup_prep_move") BPF_PROG(settled_cgroup_prep_move, struct task_struct *p,
						  struct cgroup *from, struct cgroup *to)
{
	return scx_bpf_task_running(p) || p->on_rq ? -16 : 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops settled_ops = {
	.enqueue = (void *)settled_enqueue,
	.dispatch = (void *)settled_dispatch,
	.cgroup_prep_move = (void *)settled_cgroup_prep_move,
	.init = (void *)settled_init,
	.name = "settled_tasks",
};
