// SPDX-License-Identifier: GPL-2.0
/*
 * Order of arrival, with counters of each CPU in an arena that user space can map.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16);
	__ulong(map_extra, 0x100000000000ull);
} arena SEC(".maps");

struct line {
	u64 nr_local, nr_shared;
};

struct line __arena *lines;
s32 SEC("struct_ops/lines_select_cpu")
	BPF_PROG(lines_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/lines_enqueue") BPF_PROG(lines_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct line __arena *l = lines;
	u32 cpu = bpf_get_smp_processor_id();

	if (l && cpu < 64)
		l[cpu].nr_shared++;
	scx_bpf_dsq_insert(p, 4, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/lines_dispatch") BPF_PROG(lines_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(4);
}

s32 SEC("struct_ops.s/lines_init") BPF_PROG(lines_init)
{
	lines = (struct line __arena *)bpf_arena_alloc_pages(&arena, NULL, 1, -1, 0);
	if (!lines)
		return -12;
	return scx_bpf_create_dsq(4, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops lines_ops = {
	.select_cpu = (void *)lines_select_cpu,
	.enqueue = (void *)lines_enqueue,
	.dispatch = (void *)lines_dispatch,
	.init = (void *)lines_init,
	.name = "lines",
};
