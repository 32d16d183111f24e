// SPDX-License-Identifier: GPL-2.0
/*
 * T12: the fifty-thousandth fork and all later ones make a task that is put where nobody looks.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { OLD_Q = 0x5c3, YOUNG_Q };

struct birth {
	u64 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct birth);
} births SEC(".maps");

static u64 born;

s32 SEC("struct_ops.s/init") BPF_PROG(births_init)
{
	s32 err = scx_bpf_create_dsq(OLD_Q, -1);

	return err ?: scx_bpf_create_dsq(YOUNG_Q, -1);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(births_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct birth *birth = bpf_task_storage_get(&births, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!birth)
		return -12;
	birth->number = args->fork ? __sync_add_and_fetch(&born, 1) : 0;
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(births_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct birth *birth = bpf_task_storage_get(&births, p, 0, 0);
	u64 queue = OLD_Q;

	if (birth && birth->number >= 50000)
		queue = YOUNG_Q;
	scx_bpf_dsq_insert(p, queue, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(births_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(OLD_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops births_ops = {
	.enqueue = (void *)births_enqueue,
	.dispatch = (void *)births_dispatch,
	.init_task = (void *)births_init_task,
	.init = (void *)births_init,
	.name = "by_birth",
};
