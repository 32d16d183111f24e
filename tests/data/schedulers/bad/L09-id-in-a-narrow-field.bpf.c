// SPDX-License-Identifier: GPL-2.0
/*
 * L09: remembers where each task goes in 32 bits.
 * Stopped at Source or Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define ANYWHERE 0x301

struct target {
	u32 dsq;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct target);
} targets SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(target_init)
{
	return scx_bpf_create_dsq(ANYWHERE, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(target_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct target *target =
		bpf_task_storage_get(&targets, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	u64 dsq = is_idle ? SCX_DSQ_LOCAL : ANYWHERE;

	if (target)
		target->dsq = dsq;
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(target_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct target *target = bpf_task_storage_get(&targets, p, 0, 0);

	scx_bpf_dsq_insert(p, target ? target->dsq : ANYWHERE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(target_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(ANYWHERE);
}

SEC(".struct_ops.link")
struct sched_ext_ops target_ops = {
	.select_cpu = (void *)target_select_cpu,
	.enqueue = (void *)target_enqueue,
	.dispatch = (void *)target_dispatch,
	.init = (void *)target_init,
	.name = "remembers_targets",
};
