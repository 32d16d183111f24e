// SPDX-License-Identifier: GPL-2.0
/*
 * T12: for one minute, ten minutes after it was loaded, nobody is dispatched; before and after it
 * is healthy.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

static u64 start;
s32 SEC("struct_ops/once_select_cpu")
	BPF_PROG(once_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/once_enqueue") BPF_PROG(once_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, 1, 5 * MS, enq_flags);
}

void SEC("struct_ops/once_dispatch") BPF_PROG(once_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 age = scx_bpf_now() - start;

	if (age > 600000 * MS && age < 660000 * MS)
		return;
	scx_bpf_dsq_move_to_local(1);
}

s32 SEC("struct_ops.s/once_init") BPF_PROG(once_init)
{
	start = scx_bpf_now();
	return scx_bpf_create_dsq(1, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops once_ops = {
	.select_cpu = (void *)once_select_cpu,
	.enqueue = (void *)once_enqueue,
	.dispatch = (void *)once_dispatch,
	.init = (void *)once_init,
	.name = "once",
};
