// SPDX-License-Identifier: GPL-2.0
/*
 * T03: a ring with room for 96 tasks; who does not fit in is not seen again.
 * Stopped at Bytecode or Dynamic: when a hundred tasks wait.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SHARED 0x88

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 96);
	__type(value, s32);
} ring SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(small_init)
{
	return scx_bpf_create_dsq(SHARED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(small_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	bpf_map_push_elem(&ring, &pid, 0);
}

void SEC("struct_ops/dispatch") BPF_PROG(small_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid, i;

	bpf_for (i, 0, 8) {
		if (bpf_map_pop_elem(&ring, &pid))
			break;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, SHARED, SCX_SLICE_DFL, 0);
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
		bpf_task_release(p);
	}
	scx_bpf_dsq_move_to_local(SHARED);
}

SEC(".struct_ops.link")
struct sched_ext_ops small_ops = {
	.enqueue = (void *)small_enqueue,
	.dispatch = (void *)small_dispatch,
	.init = (void *)small_init,
	.name = "small_ring",
};
