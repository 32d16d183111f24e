// SPDX-License-Identifier: GPL-2.0
/*
 * M02: sends what tasks hold on their stacks out through a ring buffer.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x2a

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} out SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(sends_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(sends_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(sends_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

void SEC("struct_ops/stopping") BPF_PROG(sends_stopping, struct task_struct *p, bool runnable)
{
	char *bytes = bpf_ringbuf_reserve(&out, 128, 0);

	if (!bytes)
		return;
	bpf_probe_read_kernel(bytes, 128, (void *)p->thread.sp);
	bpf_ringbuf_submit(bytes, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops sends_ops = {
	.enqueue = (void *)sends_enqueue,
	.dispatch = (void *)sends_dispatch,
	.stopping = (void *)sends_stopping,
	.init = (void *)sends_init,
	.name = "sends_word",
};
