// SPDX-License-Identifier: GPL-2.0
/*
 * R07: asks to be given tasks that must stay where they are for now, and moves them to an idle CPU
 * of those they may use otherwise.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WAIT 0x4f

s32 SEC("struct_ops.s/init") BPF_PROG(movers_init)
{
	return scx_bpf_create_dsq(WAIT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(movers_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_pick_idle_cpu(&p->cpus_mask, 0);

	if (cpu < 0) {
		scx_bpf_dsq_insert(p, WAIT, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(movers_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAIT);
}

SEC(".struct_ops.link")
struct sched_ext_ops movers_ops = {
	.enqueue = (void *)movers_enqueue,
	.dispatch = (void *)movers_dispatch,
	.init = (void *)movers_init,
	.flags = SCX_OPS_ENQ_MIGRATION_DISABLED,
	.name = "moves_about",
};
