// SPDX-License-Identifier: GPL-2.0
/*
 * FIFO whose slice shrinks with the length of the queue (3..20 ms); handles SCX_ENQ_LAST itself by
 * putting the last task back on its own CPU.
 */
/*
 * A round of the queue should take about stretch_round_ns: with few tasks the
 * slices are long, with many they are short, but never below the minimum.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define STRETCH_DSQ 0x51

const volatile u64 stretch_round_ns = 60 * 1000 * 1000ULL;
const volatile u64 stretch_min_ns = 3 * 1000 * 1000ULL;
const volatile u64 stretch_max_ns = 20 * 1000 * 1000ULL;

static __always_inline u64 stretch_slice(void)
{
	s32 waiting = scx_bpf_dsq_nr_queued(STRETCH_DSQ);
	u64 slice;

	if (waiting <= 0)
		return stretch_max_ns;

	slice = stretch_round_ns / ((u64)waiting + 1);
	if (slice < stretch_min_ns)
		slice = stretch_min_ns;
	if (slice > stretch_max_ns)
		slice = stretch_max_ns;
	return slice;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(stretch_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, stretch_slice(), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(stretch_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	/* nothing else wants this CPU: carry on here */
	if (enq_flags & SCX_ENQ_LAST) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, stretch_slice(), enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, STRETCH_DSQ, stretch_slice(), enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(stretch_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(STRETCH_DSQ);
}

s32 SEC("struct_ops.s/init") BPF_PROG(stretch_init)
{
	return scx_bpf_create_dsq(STRETCH_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops stretch_ops = {
	.select_cpu = (void *)stretch_select_cpu,
	.enqueue = (void *)stretch_enqueue,
	.dispatch = (void *)stretch_dispatch,
	.init = (void *)stretch_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "stretch_slice",
};
