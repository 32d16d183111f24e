// SPDX-License-Identifier: GPL-2.0
/*
 * L10: asks for the last runnable task to be enqueued and has no enqueue.
 * Stopped at Source or Bytecode or Attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(last_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

SEC(".struct_ops.link")
struct sched_ext_ops last_ops = {
	.select_cpu = (void *)last_select_cpu,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "last_one",
};
