// SPDX-License-Identifier: GPL-2.0
/*
 * T06: puts a task into the queue of the CPU with the fewest waiting, which is an idle one, and
 * does not wake it.
 * Stopped at Bytecode or Dynamic: when an idle CPU is given work.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LOAD_Q 0xb300

s32 SEC("struct_ops.s/init") BPF_PROG(loaded_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(LOAD_Q + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(loaded_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

static s32 least_loaded(struct task_struct *p)
{
	s32 cpu, best = scx_bpf_task_cpu(p), fewest = 1 << 30, queued;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		queued = scx_bpf_dsq_nr_queued(LOAD_Q + cpu);
		if (queued < fewest && bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
			fewest = queued;
			best = cpu;
		}
	}
	return best;
}

void SEC("struct_ops/enqueue") BPF_PROG(loaded_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, LOAD_Q + least_loaded(p), SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(loaded_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(LOAD_Q + cpu);
}

SEC(".struct_ops.link")
struct sched_ext_ops loaded_ops = {
	.select_cpu = (void *)loaded_select_cpu,
	.enqueue = (void *)loaded_enqueue,
	.dispatch = (void *)loaded_dispatch,
	.init = (void *)loaded_init,
	.name = "least_loaded",
};
