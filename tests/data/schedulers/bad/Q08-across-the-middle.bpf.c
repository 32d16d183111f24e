// SPDX-License-Identifier: GPL-2.0
/*
 * Q08: the two halves of the machine exchange their work: what ran in one waits for the other.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { LOW_Q = 0x75, HIGH_Q };

s32 SEC("struct_ops.s/init") BPF_PROG(cross_init)
{
	s32 err = scx_bpf_create_dsq(LOW_Q, -1);

	return err ?: scx_bpf_create_dsq(HIGH_Q, -1);
}

static bool is_high(s32 cpu)
{
	return cpu >= (s32)scx_bpf_nr_cpu_ids() / 2;
}

void SEC("struct_ops/enqueue") BPF_PROG(cross_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p), idle;

	scx_bpf_dsq_insert(p, is_high(cpu) ? LOW_Q : HIGH_Q, 3000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(cross_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(is_high(cpu) ? HIGH_Q : LOW_Q))
		return;
	scx_bpf_dsq_move_to_local(is_high(cpu) ? LOW_Q : HIGH_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops cross_ops = {
	.enqueue = (void *)cross_enqueue,
	.dispatch = (void *)cross_dispatch,
	.init = (void *)cross_init,
	.name = "across",
};
