// SPDX-License-Identifier: GPL-2.0
/*
 * L03: a map lookup may give NULL, and enqueue does not look.
 * Stopped at Build or Bytecode: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x21

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, u32);
	__type(value, u64);
} seen SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(seen_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(seen_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 key = p->pid;
	u64 *count = bpf_map_lookup_elem(&seen, &key);

	*count += 1;
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(seen_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops seen_ops = {
	.enqueue = (void *)seen_enqueue,
	.dispatch = (void *)seen_dispatch,
	.init = (void *)seen_init,
	.name = "counts_visits",
};
