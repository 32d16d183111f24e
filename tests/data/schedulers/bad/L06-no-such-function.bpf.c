// SPDX-License-Identifier: GPL-2.0
/*
 * L06: calls a function that no kernel has and does not ask first.
 * Stopped at Source or Build or Bytecode or Attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WAIT 0x2b

u64 scx_bpf_cpu_idle_since(s32 cpu) __ksym;

s32 SEC("struct_ops.s/init") BPF_PROG(since_init)
{
	return scx_bpf_create_dsq(WAIT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(since_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, WAIT, SCX_SLICE_DFL, enq_flags);
	if (scx_bpf_cpu_idle_since(cpu) > 1000000)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(since_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAIT);
}

SEC(".struct_ops.link")
struct sched_ext_ops since_ops = {
	.enqueue = (void *)since_enqueue,
	.dispatch = (void *)since_dispatch,
	.init = (void *)since_init,
	.name = "idle_since",
};
