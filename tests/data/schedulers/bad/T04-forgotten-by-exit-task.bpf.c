// SPDX-License-Identifier: GPL-2.0
/*
 * T04: a task in the table of those who live is inserted, others wait until they are in it. The
 * entry goes when a thread's group is told to end, before its last threads have run.
 * Stopped at Bytecode or Dynamic: when a process with threads is killed.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TABLE_Q 0x94

struct alive {
	bool yes;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct alive);
} alives SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(alive_init)
{
	return scx_bpf_create_dsq(TABLE_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(alive_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct alive *alive = bpf_task_storage_get(&alives, p, 0, 0);

	if (p->signal->flags & 0x4)
		alive = NULL;
	if (alive && alive->yes)
		scx_bpf_dsq_insert(p, TABLE_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(alive_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TABLE_Q);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(alive_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct alive *alive = bpf_task_storage_get(&alives, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!alive)
		return -12;
	alive->yes = true;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops alive_ops = {
	.enqueue = (void *)alive_enqueue,
	.dispatch = (void *)alive_dispatch,
	.init_task = (void *)alive_init_task,
	.init = (void *)alive_init,
	.name = "table_of_the_living",
};
