// SPDX-License-Identifier: GPL-2.0
/*
 * K05: every task that is queued has all CPUs interrupted, one by one, by a callback.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

static int kick_one(u32 i, void *ctx)
{
	scx_bpf_kick_cpu(i, SCX_KICK_PREEMPT);
	return 0;
}

s32 SEC("struct_ops/ring_select_cpu")
	BPF_PROG(ring_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/ring_enqueue") BPF_PROG(ring_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
	bpf_loop(scx_bpf_nr_cpu_ids(), kick_one, NULL, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops ring_ops = {
	.select_cpu = (void *)ring_select_cpu,
	.enqueue = (void *)ring_enqueue,
	.name = "ring",
};
