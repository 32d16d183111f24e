// SPDX-License-Identifier: GPL-2.0
/*
 * L10: asks for the last task to be enqueued by the flag's number, and has no enqueue.
 * Stopped at Source or Bytecode or Attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

void SEC("struct_ops/running") BPF_PROG(numbered_running, struct task_struct *p)
{
	scx_bpf_cpuperf_set(scx_bpf_task_cpu(p), 512);
}

SEC(".struct_ops.link")
struct sched_ext_ops numbered_ops = {
	.running = (void *)numbered_running,
	.flags = 1 << 1 | 1 << 4,
	.name = "numbered_flags",
};
