// SPDX-License-Identifier: GPL-2.0
/*
 * L04: the check lets the first index behind the end of an entry's array through.
 * Stopped at Build or Bytecode: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BASE 0x100
#define CPUS 128

struct per_cpu {
	u64 turns[CPUS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct per_cpu);
} turns SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(turns_init)
{
	return scx_bpf_create_dsq(BASE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(turns_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, BASE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(turns_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	struct per_cpu *all = bpf_map_lookup_elem(&turns, &zero);

	if (all && cpu >= 0 && cpu <= CPUS)
		all->turns[cpu]++;
	scx_bpf_dsq_move_to_local(BASE);
}

SEC(".struct_ops.link")
struct sched_ext_ops turns_ops = {
	.enqueue = (void *)turns_enqueue,
	.dispatch = (void *)turns_dispatch,
	.init = (void *)turns_init,
	.name = "turns_of_cpus",
};
