// SPDX-License-Identifier: GPL-2.0
/*
 * T07: slices are in a table that init fills, and the one for heavy tasks is endless; with tasks of
 * a weight above 300.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u64);
} quanta SEC(".maps");

static u64 quantum(u32 which)
{
	u64 *q = bpf_map_lookup_elem(&quanta, &which);

	return q ? *q : 5 * MS;
}

s32 SEC("struct_ops/quanta_select_cpu")
	BPF_PROG(quanta_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/quanta_enqueue") BPF_PROG(quanta_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, quantum(p->scx.weight > 300), enq_flags);
}

s32 SEC("struct_ops.s/quanta_init") BPF_PROG(quanta_init)
{
	u32 k = 0;
	u64 v = 5 * MS;

	bpf_map_update_elem(&quanta, &k, &v, 0);
	k = 1;
	v = ~0ULL;
	bpf_map_update_elem(&quanta, &k, &v, 0);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops quanta_ops = {
	.select_cpu = (void *)quanta_select_cpu,
	.enqueue = (void *)quanta_enqueue,
	.init = (void *)quanta_init,
	.name = "quanta",
};
