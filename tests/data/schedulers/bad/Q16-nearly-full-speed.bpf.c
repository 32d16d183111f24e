// SPDX-License-Identifier: GPL-2.0
/*
 * Q16: the speed that is asked for is computed, and hardly ever less than all that there is.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

s32 SEC("struct_ops/fast_select_cpu")
	BPF_PROG(fast_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/fast_enqueue") BPF_PROG(fast_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
}

static u32 level(u32 util)
{
	u32 l = 1024 - util / 4096;

	return l > 1000 ? 1024 : 1023;
}

void SEC("struct_ops/fast_running") BPF_PROG(fast_running, struct task_struct *p)
{
	scx_bpf_cpuperf_set(scx_bpf_task_cpu(p), level(p->scx.weight));
}

SEC(".struct_ops.link")
struct sched_ext_ops fast_ops = {
	.select_cpu = (void *)fast_select_cpu,
	.enqueue = (void *)fast_enqueue,
	.running = (void *)fast_running,
	.name = "fast",
};
