// SPDX-License-Identifier: GPL-2.0
/*
 * R06: takes the first idle CPU of the machine, when there is one, for whoever wakes.
 * Stopped at Bytecode or Dynamic: when a task that may not run there wakes.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BUSY 0x1a

s32 SEC("struct_ops.s/init") BPF_PROG(first_init)
{
	return scx_bpf_create_dsq(BUSY, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(first_enqueue, struct task_struct *p, u64 enq_flags)
{
	const struct cpumask *idle = scx_bpf_get_idle_cpumask();
	u32 cpu = bpf_cpumask_first(idle);

	scx_bpf_put_idle_cpumask(idle);
	if (cpu < scx_bpf_nr_cpu_ids() && scx_bpf_test_and_clear_cpu_idle(cpu)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, BUSY, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(first_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BUSY);
}

SEC(".struct_ops.link")
struct sched_ext_ops first_ops = {
	.enqueue = (void *)first_enqueue,
	.dispatch = (void *)first_dispatch,
	.init = (void *)first_init,
	.name = "first_idle",
};
