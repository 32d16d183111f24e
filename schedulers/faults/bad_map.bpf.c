// SPDX-License-Identifier: GPL-2.0
/*
 * bad_map: a scheduler with a ring buffer, through which a hostile one could copy task memory to
 * user space. The loader must refuse the object (MapRefused) before anything reaches the kernel.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} leak SEC(".maps");

void SCHEDCP_OPS(bad_map_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	bpf_ringbuf_output(&leak, &pid, sizeof(pid), 0);
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(bad_map_exit, struct scx_exit_info *ei)
{
	exit_record(ei);
}

SEC(".struct_ops.link")
struct sched_ext_ops bad_map_ops = {
	.enqueue = (void *)bad_map_enqueue,
	.exit = (void *)bad_map_exit,
	.timeout_ms = 10000,
	.name = "schedcp_bad_map",
};
