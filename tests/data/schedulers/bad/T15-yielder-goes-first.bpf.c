// SPDX-License-Identifier: GPL-2.0
/*
 * T15: who yields is put to the head of the queue, so that it gets its turn back soon, and then it
 * yields again.
 * Stopped at Bytecode or Dynamic: beside enough tasks that yield.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TURNS_Q 0x8f0

struct polite {
	bool yielded;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct polite);
} polites SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(polite_init)
{
	return scx_bpf_create_dsq(TURNS_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(polite_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct polite *polite = bpf_task_storage_get(&polites, p, 0, 0);
	u64 flags = enq_flags;

	if (polite && polite->yielded) {
		polite->yielded = false;
		flags |= SCX_ENQ_HEAD;
	}
	scx_bpf_dsq_insert(p, TURNS_Q, SCX_SLICE_DFL, flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(polite_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TURNS_Q);
}

bool SEC("struct_ops/yield")
	BPF_PROG(polite_yield, struct task_struct *from, struct task_struct *to)
{
	struct polite *polite =
		bpf_task_storage_get(&polites, from, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (polite)
		polite->yielded = true;
	from->scx.slice = 0;
	return true;
}

SEC(".struct_ops.link")
struct sched_ext_ops polite_ops = {
	.enqueue = (void *)polite_enqueue,
	.dispatch = (void *)polite_dispatch,
	.yield = (void *)polite_yield,
	.init = (void *)polite_init,
	.name = "politeness",
};
