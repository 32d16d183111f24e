// SPDX-License-Identifier: GPL-2.0
/*
 * T04: asks for tasks on their way out, too, remembers all by number, and looks them up later, when
 * those who are nearly gone have no number any more.
 * Stopped at Bytecode or Dynamic: when many tasks end.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LIVING 0x92

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 16384);
	__type(value, s32);
} names SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(living_init)
{
	return scx_bpf_create_dsq(LIVING, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(living_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&names, &pid, 0))
		scx_bpf_dsq_insert(p, LIVING, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(living_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid, i;

	bpf_for (i, 0, 4) {
		if (bpf_map_pop_elem(&names, &pid))
			break;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, LIVING, SCX_SLICE_DFL, 0);
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
		bpf_task_release(p);
	}
	scx_bpf_dsq_move_to_local(LIVING);
}

SEC(".struct_ops.link")
struct sched_ext_ops living_ops = {
	.enqueue = (void *)living_enqueue,
	.dispatch = (void *)living_dispatch,
	.init = (void *)living_init,
	.flags = SCX_OPS_ENQ_EXITING,
	.name = "looks_them_up",
};
