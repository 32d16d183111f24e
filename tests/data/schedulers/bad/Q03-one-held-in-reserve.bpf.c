// SPDX-License-Identifier: GPL-2.0
/*
 * Q03: the last CPU is kept free for heavy tasks, which seldom come; light and ordinary ones wait
 * beside it.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { ORDINARY_Q = 0x55, HEAVY_Q };

s32 SEC("struct_ops.s/init") BPF_PROG(reserve_init)
{
	s32 err = scx_bpf_create_dsq(ORDINARY_Q, -1);

	return err ?: scx_bpf_create_dsq(HEAVY_Q, -1);
}

static bool is_reserved(s32 cpu)
{
	s32 last = scx_bpf_nr_cpu_ids() - 1;

	return last > 0 && cpu == last;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(reserve_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle && !is_reserved(cpu))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(reserve_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool heavy = p->scx.weight > 100 || p->nr_cpus_allowed == 1;

	scx_bpf_dsq_insert(p, heavy ? HEAVY_Q : ORDINARY_Q, 10000000, enq_flags);
	if (heavy)
		scx_bpf_kick_cpu(scx_bpf_nr_cpu_ids() - 1, SCX_KICK_IDLE);
	else if (scx_bpf_nr_cpu_ids() > 1)
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p) % (scx_bpf_nr_cpu_ids() - 1), SCX_KICK_IDLE);
}

static u32 turn;

void SEC("struct_ops/dispatch") BPF_PROG(reserve_dispatch, s32 cpu, struct task_struct *prev)
{
	if ((++turn & 1) && !is_reserved(cpu) && scx_bpf_dsq_move_to_local(ORDINARY_Q))
		return;
	if (!scx_bpf_dsq_move_to_local(HEAVY_Q) && !is_reserved(cpu))
		scx_bpf_dsq_move_to_local(ORDINARY_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops reserve_ops = {
	.select_cpu = (void *)reserve_select_cpu,
	.enqueue = (void *)reserve_enqueue,
	.dispatch = (void *)reserve_dispatch,
	.init = (void *)reserve_init,
	.name = "in_reserve",
};
