// SPDX-License-Identifier: GPL-2.0
/*
 * T05: all tasks, also those bound to one CPU, are in one ring. A CPU that takes out one that it
 * may not run puts it back at the end: on a busy machine the right CPU seldom gets it. Stopped at
 * Bytecode or Dynamic: when tasks are bound to one CPU and many wait.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HERE 0xa4

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 65536);
	__type(value, s32);
} everybody SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(pushed_init)
{
	return scx_bpf_create_dsq(HERE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(pushed_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&everybody, &pid, 0))
		scx_bpf_dsq_insert(p, HERE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(pushed_dispatch, s32 cpu, struct task_struct *prev)
{
	struct task_struct *p;
	s32 pid;

	if (!bpf_map_pop_elem(&everybody, &pid)) {
		p = bpf_task_from_pid(pid);
		if (p) {
			if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
				scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
			else if (bpf_map_push_elem(&everybody, &pid, 0))
				scx_bpf_dsq_insert(p, HERE, SCX_SLICE_DFL, 0);
			bpf_task_release(p);
		}
	}
	scx_bpf_dsq_move_to_local(HERE);
}

SEC(".struct_ops.link")
struct sched_ext_ops pushed_ops = {
	.enqueue = (void *)pushed_enqueue,
	.dispatch = (void *)pushed_dispatch,
	.init = (void *)pushed_init,
	.name = "pushes_back",
};
