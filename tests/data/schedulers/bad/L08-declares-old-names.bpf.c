// SPDX-License-Identifier: GPL-2.0
/*
 * L08: declares the names of old kernels for itself and takes them for granted.
 * Stopped at Source or Build or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OLDER 0x6c

void scx_bpf_dispatch_vtime(struct task_struct *p, u64 dsq_id, u64 slice, u64 vtime,
			    u64 enq_flags) __ksym;
bool scx_bpf_consume(u64 dsq_id) __ksym;

s32 SEC("struct_ops.s/init") BPF_PROG(older_init)
{
	return scx_bpf_create_dsq(OLDER, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(older_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dispatch_vtime(p, OLDER, SCX_SLICE_DFL, p->scx.dsq_vtime, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(older_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_consume(OLDER);
}

SEC(".struct_ops.link")
struct sched_ext_ops older_ops = {
	.enqueue = (void *)older_enqueue,
	.dispatch = (void *)older_dispatch,
	.init = (void *)older_init,
	.name = "older_names",
};
