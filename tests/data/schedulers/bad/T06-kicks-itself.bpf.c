// SPDX-License-Identifier: GPL-2.0
/*
 * T06: gives a task that wakes to the queue of the CPU next door, where its memory may be, and
 * kicks the CPU that it is on itself. Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define DOOR_Q 0xb400

s32 SEC("struct_ops.s/init") BPF_PROG(door_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(DOOR_Q + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(door_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(door_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 here = scx_bpf_task_cpu(p), there = (here + 1) % scx_bpf_nr_cpu_ids();

	if (!bpf_cpumask_test_cpu(there, p->cpus_ptr))
		there = here;
	scx_bpf_dsq_insert(p, DOOR_Q + there, 6000000, enq_flags);
	scx_bpf_kick_cpu(here, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(door_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(DOOR_Q + cpu);
}

SEC(".struct_ops.link")
struct sched_ext_ops door_ops = {
	.select_cpu = (void *)door_select_cpu,
	.enqueue = (void *)door_enqueue,
	.dispatch = (void *)door_dispatch,
	.init = (void *)door_init,
	.name = "next_door",
};
