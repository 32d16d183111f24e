// SPDX-License-Identifier: GPL-2.0
/*
 * R07: takes the number of CPUs that a task may use for leave to use any of them: the number stays
 * what it was while the task must not move.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define STAY 0x4a

static u64 spread;

s32 SEC("struct_ops.s/init") BPF_PROG(anywhere_init)
{
	return scx_bpf_create_dsq(STAY, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(anywhere_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 nr = scx_bpf_nr_cpu_ids();
	u64 cpu = __sync_fetch_and_add(&spread, 1) % nr;

	if (p->nr_cpus_allowed == nr && (enq_flags & SCX_ENQ_WAKEUP) == 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, 5000000, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, STAY, 5000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(anywhere_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(STAY);
}

SEC(".struct_ops.link")
struct sched_ext_ops anywhere_ops = {
	.enqueue = (void *)anywhere_enqueue,
	.dispatch = (void *)anywhere_dispatch,
	.init = (void *)anywhere_init,
	.flags = SCX_OPS_ENQ_MIGRATION_DISABLED,
	.name = "goes_anywhere",
};
