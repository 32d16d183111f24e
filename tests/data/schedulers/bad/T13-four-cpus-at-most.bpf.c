// SPDX-License-Identifier: GPL-2.0
/*
 * T13: every CPU has a queue and puts tasks there, and all of them take from the first four only.
 * Stopped at Bytecode or Dynamic: on machines with more than four CPUs.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FOUR_BASE 0x6d4

s32 SEC("struct_ops.s/init") BPF_PROG(four_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(FOUR_BASE + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(four_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, FOUR_BASE + cpu, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(four_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 other;

	if (cpu < 4 && scx_bpf_dsq_move_to_local(FOUR_BASE + cpu))
		return;
	bpf_for (other, 0, 4) {
		if (other < scx_bpf_nr_cpu_ids() && scx_bpf_dsq_move_to_local(FOUR_BASE + other))
			return;
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops four_ops = {
	.enqueue = (void *)four_enqueue,
	.dispatch = (void *)four_dispatch,
	.init = (void *)four_init,
	.name = "four_is_enough",
};
