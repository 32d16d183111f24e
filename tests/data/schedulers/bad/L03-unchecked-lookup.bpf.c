// SPDX-License-Identifier: GPL-2.0
/*
 * L03: a map lookup may give NULL, and enqueue does not look.
 * Stopped at Build, by the kernel's verifier.
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

s32 SEC("struct_ops.s/init") BPF_PROG(bad_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(bad_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 key = p->pid;
	u64 *count = bpf_map_lookup_elem(&seen, &key);

	*count += 1;
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(bad_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops bad_ops = {
	.init = (void *)bad_init,
	.enqueue = (void *)bad_enqueue,
	.dispatch = (void *)bad_dispatch,
	.name = "l03_unchecked_lookup",
};
