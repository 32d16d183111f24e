// SPDX-License-Identifier: GPL-2.0
/*
 * Q03: a task belongs to the CPU that its number names among those it may use, and no CPU helps
 * another: some are idle while tasks wait.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define MINE 0x5400

s32 SEC("struct_ops.s/init") BPF_PROG(alone_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(MINE + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

static s32 home_of(struct task_struct *p)
{
	s32 nr = scx_bpf_nr_cpu_ids(), step, cpu;

	bpf_for (step, 0, nr) {
		cpu = (p->pid + step) % nr;
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			return cpu;
	}
	return scx_bpf_task_cpu(p);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(alone_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return home_of(p);
}

void SEC("struct_ops/enqueue") BPF_PROG(alone_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 home = home_of(p);

	scx_bpf_dsq_insert(p, MINE + home, 10000000, enq_flags);
	scx_bpf_kick_cpu(home, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(alone_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(MINE + cpu);
}

SEC(".struct_ops.link")
struct sched_ext_ops alone_ops = {
	.select_cpu = (void *)alone_select_cpu,
	.enqueue = (void *)alone_enqueue,
	.dispatch = (void *)alone_dispatch,
	.init = (void *)alone_init,
	.name = "mind_your_own",
};
