// SPDX-License-Identifier: GPL-2.0
/*
 * A CPU takes up to four tasks at a time from the common queue, which saves it three looks. What it
 * took is its own to run: four short slices at most, so that nobody waits for long behind it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define COMMON 0xc0

const volatile u32 at_once = 4;
const volatile u64 slice_ns = 3000000;

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(four_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(four_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, COMMON, slice_ns, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(four_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i;

	bpf_for (i, 0, at_once) {
		if (!scx_bpf_dsq_move_to_local(COMMON))
			return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(four_init)
{
	return scx_bpf_create_dsq(COMMON, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops four_ops = {
	.select_cpu = (void *)four_select_cpu,
	.enqueue = (void *)four_enqueue,
	.dispatch = (void *)four_dispatch,
	.init = (void *)four_init,
	.name = "takes_four",
};
