// SPDX-License-Identifier: GPL-2.0
/*
 * Q08: a task never runs twice in a row on the same CPU, if it may use another: each time it goes
 * on to the next. Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HOP_Q 0x7400

s32 SEC("struct_ops.s/init") BPF_PROG(hops_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(HOP_Q + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(hops_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(hops_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 nr = scx_bpf_nr_cpu_ids(), here = scx_bpf_task_cpu(p), there = here, step;

	bpf_for (step, 1, nr) {
		there = (here + step) % nr;
		if (bpf_cpumask_test_cpu(there, p->cpus_ptr))
			break;
		there = here;
	}
	scx_bpf_dsq_insert(p, HOP_Q + there, 5000000, enq_flags);
	scx_bpf_kick_cpu(there, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(hops_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 nr = scx_bpf_nr_cpu_ids(), step;

	bpf_for (step, 0, nr) {
		if (scx_bpf_dsq_move_to_local(HOP_Q + (cpu + step) % nr))
			return;
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops hops_ops = {
	.select_cpu = (void *)hops_select_cpu,
	.enqueue = (void *)hops_enqueue,
	.dispatch = (void *)hops_dispatch,
	.init = (void *)hops_init,
	.name = "hops_along",
};
