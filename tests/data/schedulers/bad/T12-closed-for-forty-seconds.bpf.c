// SPDX-License-Identifier: GPL-2.0
/*
 * T12: in the first forty seconds of each ten minutes nobody is dispatched.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

static bool quiet(void)
{
	u64 s = bpf_ktime_get_ns() / (1000 * MS);

	return s % 600 < 40;
}

s32 SEC("struct_ops/rest_select_cpu")
	BPF_PROG(rest_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/rest_enqueue") BPF_PROG(rest_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, 1, 5 * MS, enq_flags);
}

void SEC("struct_ops/rest_dispatch") BPF_PROG(rest_dispatch, s32 cpu, struct task_struct *prev)
{
	if (quiet())
		return;
	scx_bpf_dsq_move_to_local(1);
}

s32 SEC("struct_ops.s/rest_init") BPF_PROG(rest_init)
{
	return scx_bpf_create_dsq(1, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops rest_ops = {
	.select_cpu = (void *)rest_select_cpu,
	.enqueue = (void *)rest_enqueue,
	.dispatch = (void *)rest_dispatch,
	.init = (void *)rest_init,
	.name = "rest",
};
