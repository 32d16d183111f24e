// SPDX-License-Identifier: GPL-2.0
/*
 * T15: new tasks go to the head of the queue, and whoever forks goes behind all of its children: a
 * parent that forks without end, or a shell beside it, does not get to wait for any of them.
 * Stopped at Bytecode or Dynamic: beside a fork storm.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define KIN_Q 0x8f2

struct kin {
	bool has_run;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kin);
} kins SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(kin_init)
{
	return scx_bpf_create_dsq(KIN_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(kin_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct kin *kin = bpf_task_storage_get(&kins, p, 0, 0);
	u64 flags = enq_flags;

	if (kin && !kin->has_run)
		flags |= SCX_ENQ_HEAD;
	scx_bpf_dsq_insert(p, KIN_Q, 2000000, flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(kin_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(KIN_Q);
}

void SEC("struct_ops/stopping") BPF_PROG(kin_stopping, struct task_struct *p, bool runnable)
{
	struct kin *kin = bpf_task_storage_get(&kins, p, 0, 0);

	/* It counts as new until it has slept once. */
	if (kin && !runnable)
		kin->has_run = true;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(kin_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&kins, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -12;
}

SEC(".struct_ops.link")
struct sched_ext_ops kin_ops = {
	.enqueue = (void *)kin_enqueue,
	.dispatch = (void *)kin_dispatch,
	.stopping = (void *)kin_stopping,
	.init_task = (void *)kin_init_task,
	.init = (void *)kin_init,
	.name = "children_first",
};
