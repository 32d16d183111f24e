// SPDX-License-Identifier: GPL-2.0
/*
 * T08: fair by virtual time, but a new task begins at zero, far before everybody who has run. As
 * long as new ones come, nobody else runs.
 * Stopped at Bytecode or Dynamic: beside enough new tasks.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FAIR_Q 0x1d0

const volatile u64 slice_ns = 5000000;

s32 SEC("struct_ops.s/init") BPF_PROG(newborn_init)
{
	return scx_bpf_create_dsq(FAIR_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(newborn_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert_vtime(p, FAIR_Q, slice_ns, p->scx.dsq_vtime, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(newborn_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FAIR_Q);
}

void SEC("struct_ops/stopping") BPF_PROG(newborn_stopping, struct task_struct *p, bool runnable)
{
	if (p->scx.slice < slice_ns)
		p->scx.dsq_vtime += (slice_ns - p->scx.slice) * 100 / (p->scx.weight ?: 1);
}

void SEC("struct_ops/enable") BPF_PROG(newborn_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops newborn_ops = {
	.enqueue = (void *)newborn_enqueue,
	.dispatch = (void *)newborn_dispatch,
	.stopping = (void *)newborn_stopping,
	.enable = (void *)newborn_enable,
	.init = (void *)newborn_init,
	.name = "fair_to_newcomers",
};
