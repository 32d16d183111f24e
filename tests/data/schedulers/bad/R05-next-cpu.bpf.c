// SPDX-License-Identifier: GPL-2.0
/*
 * R05: hands a task to the next CPU, and behind the last one there is none.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define REST 0x18

s32 SEC("struct_ops.s/init") BPF_PROG(nextcpu_init)
{
	return scx_bpf_create_dsq(REST, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(nextcpu_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p) + 1;

	if (p->nr_cpus_allowed == scx_bpf_nr_cpu_ids()) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, REST, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(nextcpu_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(REST);
}

SEC(".struct_ops.link")
struct sched_ext_ops nextcpu_ops = {
	.enqueue = (void *)nextcpu_enqueue,
	.dispatch = (void *)nextcpu_dispatch,
	.init = (void *)nextcpu_init,
	.name = "next_cpu",
};
