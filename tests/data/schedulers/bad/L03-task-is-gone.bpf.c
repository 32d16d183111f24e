// SPDX-License-Identifier: GPL-2.0
/*
 * L03: takes a task by its number, which may be nobody's any more, and hands it on unlooked at.
 * Stopped at Build or Bytecode: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OUT 0x404

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 65536);
	__type(value, s32);
} numbers SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(number_init)
{
	return scx_bpf_create_dsq(OUT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(number_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&numbers, &pid, 0))
		scx_bpf_dsq_insert(p, OUT, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(number_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid;

	if (!bpf_map_pop_elem(&numbers, &pid)) {
		p = bpf_task_from_pid(pid);
		scx_bpf_dsq_insert(p, OUT, SCX_SLICE_DFL, 0);
		bpf_task_release(p);
	}
	scx_bpf_dsq_move_to_local(OUT);
}

SEC(".struct_ops.link")
struct sched_ext_ops number_ops = {
	.enqueue = (void *)number_enqueue,
	.dispatch = (void *)number_dispatch,
	.init = (void *)number_init,
	.name = "by_number",
};
