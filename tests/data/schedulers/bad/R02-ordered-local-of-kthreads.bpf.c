// SPDX-License-Identifier: GPL-2.0
/*
 * R02: kernel threads bound to one CPU are put into its local queue, ordered by virtual time.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OTHERS 0x3b

s32 SEC("struct_ops.s/init") BPF_PROG(kernel_init)
{
	return scx_bpf_create_dsq(OTHERS, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(kernel_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;

	if (p->nr_cpus_allowed == 1 && (p->flags & 0x200000)) {
		scx_bpf_dsq_insert_vtime(p, SCX_DSQ_LOCAL_ON | scx_bpf_task_cpu(p), SCX_SLICE_DFL,
					 vtime, enq_flags);
		return;
	}
	scx_bpf_dsq_insert_vtime(p, OTHERS, SCX_SLICE_DFL, vtime, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(kernel_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(OTHERS);
}

SEC(".struct_ops.link")
struct sched_ext_ops kernel_ops = {
	.enqueue = (void *)kernel_enqueue,
	.dispatch = (void *)kernel_dispatch,
	.init = (void *)kernel_init,
	.name = "kernel_first",
};
