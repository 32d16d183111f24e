// SPDX-License-Identifier: GPL-2.0
/*
 * R12: select_cpu prefers the CPU after the last one used, also after the last there is.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BESIDE 0xb2

s32 SEC("struct_ops.s/init") BPF_PROG(beside_init)
{
	return scx_bpf_create_dsq(BESIDE, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(beside_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return p->nr_cpus_allowed > 1 ? prev_cpu + 1 : prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(beside_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, BESIDE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(beside_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BESIDE);
}

SEC(".struct_ops.link")
struct sched_ext_ops beside_ops = {
	.select_cpu = (void *)beside_select_cpu,
	.enqueue = (void *)beside_enqueue,
	.dispatch = (void *)beside_dispatch,
	.init = (void *)beside_init,
	.name = "next_thread",
};
