// SPDX-License-Identifier: GPL-2.0
/*
 * Q01: a queue for each CPU, and chance decides which one a task waits in; a CPU looks into its own
 * and, when that is empty, into one other, which chance names, too.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LOT 0x5100

s32 SEC("struct_ops.s/init") BPF_PROG(lots_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(LOT + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(lots_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = bpf_get_prandom_u32() % scx_bpf_nr_cpu_ids();

	if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
		cpu = scx_bpf_task_cpu(p);
	scx_bpf_dsq_insert(p, LOT + cpu, 10000000, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lots_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 other = bpf_get_prandom_u32() % scx_bpf_nr_cpu_ids();

	if (!scx_bpf_dsq_move_to_local(LOT + cpu))
		scx_bpf_dsq_move_to_local(LOT + other);
}

SEC(".struct_ops.link")
struct sched_ext_ops lots_ops = {
	.enqueue = (void *)lots_enqueue,
	.dispatch = (void *)lots_dispatch,
	.init = (void *)lots_init,
	.name = "by_lot",
};
