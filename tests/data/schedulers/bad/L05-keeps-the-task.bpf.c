// SPDX-License-Identifier: GPL-2.0
/*
 * L05: a task that was found by its number is never let go.
 * Stopped at Build or Bytecode: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PARK 0x64

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 32768);
	__type(value, s32);
} parked SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(park_init)
{
	return scx_bpf_create_dsq(PARK, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(park_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&parked, &pid, 0))
		scx_bpf_dsq_insert(p, PARK, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(park_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid;

	if (!bpf_map_pop_elem(&parked, &pid)) {
		p = bpf_task_from_pid(pid);
		if (p)
			scx_bpf_dsq_insert(p, PARK, SCX_SLICE_DFL, 0);
	}
	scx_bpf_dsq_move_to_local(PARK);
}

SEC(".struct_ops.link")
struct sched_ext_ops park_ops = {
	.enqueue = (void *)park_enqueue,
	.dispatch = (void *)park_dispatch,
	.init = (void *)park_init,
	.name = "parked_tasks",
};
