// SPDX-License-Identifier: GPL-2.0
/*
 * T02: tasks wait in the queue of the CPU before the one they ran on, and each CPU looks at its
 * own queue only, so that a task bound to one CPU waits where nobody may run it.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x21

s32 SEC("struct_ops.s/init") BPF_PROG(before_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(QUEUE + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(before_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 queue = QUEUE + (scx_bpf_task_cpu(p) + 1) % scx_bpf_nr_cpu_ids();

	scx_bpf_dsq_insert(p, queue, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(before_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE + cpu);
}

SEC(".struct_ops.link")
struct sched_ext_ops before_ops = {
	.enqueue = (void *)before_enqueue,
	.dispatch = (void *)before_dispatch,
	.init = (void *)before_init,
	.name = "one_before",
};
