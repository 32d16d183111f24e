// SPDX-License-Identifier: GPL-2.0
/*
 * Four bands by weight and a rota of sixteen turns: eight for the heaviest band, then four, three
 * and one. A turn that its band cannot use goes to the next band that can.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BAND  0xb0
#define BANDS 4
#define TURNS 16

static const u8 rota[TURNS] = {0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2, 0, 1, 0, 2};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} turn_of SEC(".maps");

static u32 band_of(u32 weight)
{
	if (weight >= 400)
		return 0;
	if (weight >= 100)
		return 1;
	return weight >= 25 ? 2 : 3;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(rota_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(rota_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, BAND + band_of(p->scx.weight), 4000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(rota_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, first = 0, step;
	u32 *turn = bpf_map_lookup_elem(&turn_of, &zero);

	if (turn) {
		first = rota[*turn % TURNS];
		*turn += 1;
	}
	bpf_for (step, 0, BANDS) {
		if (scx_bpf_dsq_move_to_local(BAND + (first + step) % BANDS))
			return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(rota_init)
{
	s32 band, err;

	bpf_for (band, 0, BANDS) {
		err = scx_bpf_create_dsq(BAND + band, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops rota_ops = {
	.select_cpu = (void *)rota_select_cpu,
	.enqueue = (void *)rota_enqueue,
	.dispatch = (void *)rota_dispatch,
	.init = (void *)rota_init,
	.name = "bands_in_rotation",
};
