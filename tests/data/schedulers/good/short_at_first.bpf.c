// SPDX-License-Identifier: GPL-2.0
/*
 * Order of arrival; in the first minute, while nothing is known of anybody, slices are shorter.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

static u64 loaded_at;
static u64 slice(void)
{
	return scx_bpf_now() - loaded_at < 60000 * MS ? 4 * MS : 10 * MS;
}

s32 SEC("struct_ops/early_select_cpu")
	BPF_PROG(early_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice(), 0);
	return cpu;
}

void SEC("struct_ops/early_enqueue") BPF_PROG(early_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, 1, slice(), enq_flags);
}

void SEC("struct_ops/early_dispatch") BPF_PROG(early_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(1);
}

s32 SEC("struct_ops.s/early_init") BPF_PROG(early_init)
{
	loaded_at = scx_bpf_now();
	return scx_bpf_create_dsq(1, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops early_ops = {
	.select_cpu = (void *)early_select_cpu,
	.enqueue = (void *)early_enqueue,
	.dispatch = (void *)early_dispatch,
	.init = (void *)early_init,
	.name = "early",
};
