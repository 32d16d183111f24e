// SPDX-License-Identifier: GPL-2.0
/*
 * T02: the CPUs form two halves with a queue each. A task stays in the half that it was born for,
 * also when it is bound to the other, and no half helps the other out.
 * Stopped at Bytecode or Dynamic: when a task is bound to a CPU of the other half.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HALF 0x7200

struct born {
	u32 half;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct born);
} borns SEC(".maps");

static u32 born_so_far;

s32 SEC("struct_ops.s/init") BPF_PROG(halves_init)
{
	s32 err = scx_bpf_create_dsq(HALF, -1);

	return err ?: scx_bpf_create_dsq(HALF + 1, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(halves_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(halves_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct born *born = bpf_task_storage_get(&borns, p, 0, 0);
	u32 half = born ? born->half : 0;
	s32 cpu;

	scx_bpf_dsq_insert(p, HALF + half, SCX_SLICE_DFL, enq_flags);
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		if ((cpu & 1) == half)
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}
}

void SEC("struct_ops/dispatch") BPF_PROG(halves_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(HALF + (cpu & 1));
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(halves_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct born *born = bpf_task_storage_get(&borns, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!born)
		return -12;
	born->half = __sync_fetch_and_add(&born_so_far, 1) & 1;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops halves_ops = {
	.select_cpu = (void *)halves_select_cpu,
	.enqueue = (void *)halves_enqueue,
	.dispatch = (void *)halves_dispatch,
	.init_task = (void *)halves_init_task,
	.init = (void *)halves_init,
	.name = "two_halves",
};
