// SPDX-License-Identifier: GPL-2.0
/*
 * The form of scheduler that numbers CPUs by topology, new in 7.3 (6.18 has no such table). Order
 * of arrival; the arena is there because the kernel wants this form to have one.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TOPO_QUEUE 0x7c

enum { NO_MEMORY = 12 };

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << 20);
} arena SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(topo_init)
{
	if (!bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0))
		return -NO_MEMORY;
	return scx_bpf_create_dsq(TOPO_QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(topo_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, TOPO_QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(topo_dispatch, s32 cid, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TOPO_QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops_cid topo_ops = {
	.enqueue = (void *)topo_enqueue,
	.dispatch = (void *)topo_dispatch,
	.init = (void *)topo_init,
	.name = "by_cid",
};
