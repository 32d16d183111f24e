// SPDX-License-Identifier: GPL-2.0
/*
 * Q07: CPUs with odd numbers are taken for second threads and left alone, unless a task may use no
 * other.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { EVEN_Q = 0x71, ODD_Q };

s32 SEC("struct_ops.s/init") BPF_PROG(even_init)
{
	s32 err = scx_bpf_create_dsq(EVEN_Q, -1);

	return err ?: scx_bpf_create_dsq(ODD_Q, -1);
}

static bool only_odd(struct task_struct *p)
{
	s32 cpu;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		if (!(cpu & 1) && bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			return false;
	}
	return true;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(even_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu & 1 ? prev_cpu - 1 : prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(even_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool odd = only_odd(p);
	s32 cpu;

	scx_bpf_dsq_insert(p, odd ? ODD_Q : EVEN_Q, 5000000, enq_flags);
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		if ((cpu & 1) == odd)
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}
}

void SEC("struct_ops/dispatch") BPF_PROG(even_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(cpu & 1 ? ODD_Q : EVEN_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops even_ops = {
	.select_cpu = (void *)even_select_cpu,
	.enqueue = (void *)even_enqueue,
	.dispatch = (void *)even_dispatch,
	.init = (void *)even_init,
	.name = "even_numbers",
};
