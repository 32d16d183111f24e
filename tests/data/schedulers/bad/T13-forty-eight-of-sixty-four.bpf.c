// SPDX-License-Identifier: GPL-2.0
/*
 * T13: CPUs share 64 queues by their number, and init makes 48 of them; on machines with more than
 * 48 CPUs.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/slots_select_cpu")
	BPF_PROG(slots_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/slots_enqueue") BPF_PROG(slots_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 cpu = scx_bpf_task_cpu(p) & 63;

	scx_bpf_dsq_insert(p, cpu, 5 * MS, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/slots_dispatch") BPF_PROG(slots_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(cpu & 63);
}

s32 SEC("struct_ops.s/slots_init") BPF_PROG(slots_init)
{
	u32 i;

	bpf_for (i, 0, 48) {
		s32 e = scx_bpf_create_dsq(i, -1);

		if (e)
			return e;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops slots_ops = {
	.select_cpu = (void *)slots_select_cpu,
	.enqueue = (void *)slots_enqueue,
	.dispatch = (void *)slots_dispatch,
	.init = (void *)slots_init,
	.name = "slots",
};
