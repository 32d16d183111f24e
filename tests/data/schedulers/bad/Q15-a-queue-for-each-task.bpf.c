// SPDX-License-Identifier: GPL-2.0
/*
 * Q15: makes a queue for each process and never takes one down.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define COMMON_Q 0x8d
#define OWN_Q	 0x100000000ULL

s32 SEC("struct_ops.s/init") BPF_PROG(owner_init)
{
	return scx_bpf_create_dsq(COMMON_Q, -1);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(owner_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (args->fork && p->pid == p->tgid)
		scx_bpf_create_dsq(OWN_Q + p->tgid, -1);
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(owner_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, COMMON_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(owner_dispatch, s32 cpu, struct task_struct *prev)
{
	if (prev && scx_bpf_dsq_nr_queued(OWN_Q + prev->tgid) > 0 &&
	    scx_bpf_dsq_move_to_local(OWN_Q + prev->tgid))
		return;
	scx_bpf_dsq_move_to_local(COMMON_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops owner_ops = {
	.enqueue = (void *)owner_enqueue,
	.dispatch = (void *)owner_dispatch,
	.init_task = (void *)owner_init_task,
	.init = (void *)owner_init,
	.name = "queue_owners",
};
