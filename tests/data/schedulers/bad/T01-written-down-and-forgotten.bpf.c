// SPDX-License-Identifier: GPL-2.0
/*
 * T01: tasks that come back after they used up a slice are written down in a map when they are
 * heavy, and nobody reads it.
 * Stopped at Bytecode or Dynamic: when somebody heavy never sleeps.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SERVED 0x9c

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, s32);
	__type(value, u64);
} noted SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(noted_init)
{
	return scx_bpf_create_dsq(SERVED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(noted_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;
	u64 now = bpf_ktime_get_ns();

	if (!(enq_flags & SCX_ENQ_WAKEUP) && p->scx.weight > 300 &&
	    !bpf_map_update_elem(&noted, &pid, &now, BPF_ANY))
		return;
	scx_bpf_dsq_insert(p, SERVED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(noted_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SERVED);
}

void SEC("struct_ops/dequeue") BPF_PROG(noted_dequeue, struct task_struct *p, u64 deq_flags)
{
	s32 pid = p->pid;

	bpf_map_delete_elem(&noted, &pid);
}

SEC(".struct_ops.link")
struct sched_ext_ops noted_ops = {
	.enqueue = (void *)noted_enqueue,
	.dequeue = (void *)noted_dequeue,
	.dispatch = (void *)noted_dispatch,
	.init = (void *)noted_init,
	.name = "notes_heavy",
};
