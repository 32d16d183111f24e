// SPDX-License-Identifier: GPL-2.0
/*
 * T11: every task that is no kernel thread is offered to a program in user space, and waits until
 * that program gives it back.
 * Stopped at Bytecode or Attach or Dynamic: the program is stopped, late, or not there.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define DECIDED 0x4b0

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 65536);
	__type(value, s32);
} to_user SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 65536);
	__type(value, s32);
} from_user SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(asks_init)
{
	return scx_bpf_create_dsq(DECIDED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(asks_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if ((p->flags & 0x200000) || bpf_map_push_elem(&to_user, &pid, 0))
		scx_bpf_dsq_insert(p, DECIDED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(asks_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid, i;

	bpf_for (i, 0, 8) {
		if (bpf_map_pop_elem(&from_user, &pid))
			break;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, DECIDED, SCX_SLICE_DFL, 0);
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
		bpf_task_release(p);
	}
	scx_bpf_dsq_move_to_local(DECIDED);
}

SEC(".struct_ops.link")
struct sched_ext_ops asks_ops = {
	.enqueue = (void *)asks_enqueue,
	.dispatch = (void *)asks_dispatch,
	.init = (void *)asks_init,
	.name = "asks_first",
};
