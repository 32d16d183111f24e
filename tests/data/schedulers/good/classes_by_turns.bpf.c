// SPDX-License-Identifier: GPL-2.0
/*
 * Two classes by weight. After `turns` tasks of the heavier class a CPU serves one of the lighter,
 * so that the lighter one has a known share however much the heavier one has to do.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum lane { HEAVY_LANE = 0x700, LIGHT_LANE };

const volatile u32 turns = 6;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} in_a_row SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(turn_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(turn_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, p->scx.weight >= 100 ? HEAVY_LANE : LIGHT_LANE, 5000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(turn_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u32 *count = bpf_map_lookup_elem(&in_a_row, &zero);

	if (count && *count >= turns) {
		*count = 0;
		if (scx_bpf_dsq_move_to_local(LIGHT_LANE))
			return;
	}
	if (scx_bpf_dsq_move_to_local(HEAVY_LANE)) {
		if (count)
			*count += 1;
		return;
	}
	scx_bpf_dsq_move_to_local(LIGHT_LANE);
}

s32 SEC("struct_ops.s/init") BPF_PROG(turn_init)
{
	s32 err = scx_bpf_create_dsq(HEAVY_LANE, -1);

	return err ?: scx_bpf_create_dsq(LIGHT_LANE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops turn_ops = {
	.select_cpu = (void *)turn_select_cpu,
	.enqueue = (void *)turn_enqueue,
	.dispatch = (void *)turn_dispatch,
	.init = (void *)turn_init,
	.name = "classes_by_turns",
};
