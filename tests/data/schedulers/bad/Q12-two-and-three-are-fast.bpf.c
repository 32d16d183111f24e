// SPDX-License-Identifier: GPL-2.0
/*
 * Q12: takes CPUs 2 and 3 for the fast ones, whatever the machine.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SLOW_ONES 0x87

s32 SEC("struct_ops.s/init") BPF_PROG(fast_init)
{
	return scx_bpf_create_dsq(SLOW_ONES, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(fast_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = p->pid & 1 ? 3 : 2;

	if (p->scx.weight >= 100 && bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, 5000000, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, SLOW_ONES, 5000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(fast_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SLOW_ONES);
}

SEC(".struct_ops.link")
struct sched_ext_ops fast_ops = {
	.enqueue = (void *)fast_enqueue,
	.dispatch = (void *)fast_dispatch,
	.init = (void *)fast_init,
	.name = "fast_and_slow",
};
