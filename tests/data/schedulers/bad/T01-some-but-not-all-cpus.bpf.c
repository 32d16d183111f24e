// SPDX-License-Identifier: GPL-2.0
/*
 * T01: tasks that may use some CPUs but not all (a cpuset, a mask) have a queue of their own, and
 * no CPU looks there.
 * Stopped at Bytecode or Dynamic: when somebody is bound to a part of the machine.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { FREE_TASKS = 0x9a, FENCED_TASKS = 0x9b };

s32 SEC("struct_ops.s/init") BPF_PROG(fenced_init)
{
	s32 err = scx_bpf_create_dsq(FREE_TASKS, -1);

	return err ?: scx_bpf_create_dsq(FENCED_TASKS, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(fenced_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 allowed = p->nr_cpus_allowed;
	bool partly = allowed > 1 && allowed < scx_bpf_nr_cpu_ids();

	scx_bpf_dsq_insert(p, partly ? FENCED_TASKS : FREE_TASKS, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(fenced_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FREE_TASKS);
}

SEC(".struct_ops.link")
struct sched_ext_ops fenced_ops = {
	.enqueue = (void *)fenced_enqueue,
	.dispatch = (void *)fenced_dispatch,
	.init = (void *)fenced_init,
	.name = "fences",
};
