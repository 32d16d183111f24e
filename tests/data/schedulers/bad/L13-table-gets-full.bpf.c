// SPDX-License-Identifier: GPL-2.0
/*
 * L13: remembers each task in a table of 512; when it is full, fork fails.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define KNOWN 0xaa

enum { TOO_MANY = 7 };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, s32);
	__type(value, u64);
} known SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(known_init)
{
	return scx_bpf_create_dsq(KNOWN, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(known_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, KNOWN, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(known_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(KNOWN);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(known_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	s32 pid = p->pid;
	u64 now = bpf_ktime_get_ns();

	return bpf_map_update_elem(&known, &pid, &now, BPF_ANY) ? -TOO_MANY : 0;
}

void SEC("struct_ops/exit_task")
	BPF_PROG(known_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	s32 pid = p->pid;

	/* Threads alone are forgotten; processes are kept for later. */
	if (p->pid != p->tgid)
		bpf_map_delete_elem(&known, &pid);
}

SEC(".struct_ops.link")
struct sched_ext_ops known_ops = {
	.enqueue = (void *)known_enqueue,
	.dispatch = (void *)known_dispatch,
	.init_task = (void *)known_init_task,
	.exit_task = (void *)known_exit_task,
	.init = (void *)known_init,
	.name = "knows_everybody",
};
