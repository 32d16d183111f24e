// SPDX-License-Identifier: GPL-2.0
/*
 * extra_kprobe: a scheduler that brings a kprobe along. A plain registration would load it too;
 * the loader must refuse the object (ProgramRefused) before anything reaches the kernel.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

SEC("kprobe/do_nanosleep")
int extra_kprobe_probe(struct pt_regs *ctx)
{
	return 0;
}

void SCHEDCP_OPS(extra_kprobe_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(extra_kprobe_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops extra_kprobe_ops = {
	.enqueue = (void *)extra_kprobe_enqueue,
	.exit = (void *)extra_kprobe_exit,
	.timeout_ms = 10000,
	.name = "schedcp_extra_kprobe",
};
