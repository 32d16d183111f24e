// SPDX-License-Identifier: GPL-2.0
/*
 * R06: deals tasks out to one CPU after the other, whether they may run there or not.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

static u64 dealt;

void SEC("struct_ops/enqueue") BPF_PROG(round_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 cpu = __sync_fetch_and_add(&dealt, 1) % scx_bpf_nr_cpu_ids();

	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | cpu, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

SEC(".struct_ops.link")
struct sched_ext_ops round_ops = {
	.enqueue = (void *)round_enqueue,
	.name = "round_and_round",
};
