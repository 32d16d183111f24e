// SPDX-License-Identifier: GPL-2.0
/*
 * R08: one dispatch hands out all tasks that it knows of, up to 64, and the kernel takes 32.
 * Stopped at Bytecode or Dynamic: when more than 32 wait.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define GIVEN 0x65

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 65536);
	__type(value, s32);
} known SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(gives_init)
{
	return scx_bpf_create_dsq(GIVEN, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(gives_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&known, &pid, 0))
		scx_bpf_dsq_insert(p, GIVEN, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(gives_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid, i;

	bpf_for (i, 0, 64) {
		if (bpf_map_pop_elem(&known, &pid))
			break;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, GIVEN, SCX_SLICE_DFL, 0);
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
		bpf_task_release(p);
	}
	scx_bpf_dsq_move_to_local(GIVEN);
}

SEC(".struct_ops.link")
struct sched_ext_ops gives_ops = {
	.enqueue = (void *)gives_enqueue,
	.dispatch = (void *)gives_dispatch,
	.init = (void *)gives_init,
	.name = "gives_everything",
};
