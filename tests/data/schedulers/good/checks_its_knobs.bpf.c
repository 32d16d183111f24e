// SPDX-License-Identifier: GPL-2.0
/*
 * Order of arrival. Knobs that make no sense are refused before anything begins, and for the first
 * seconds, when the caches are cold, slices are longer.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WARM_Q 0xd0a

const volatile u64 slice_ns = 5000000;
const volatile u64 cold_slice_ns = 15000000;
const volatile u64 cold_ns = 3000000000;

enum { INVALID = 22 };

static u64 began_at;

static u64 slice(void)
{
	return bpf_ktime_get_ns() - began_at < cold_ns ? cold_slice_ns : slice_ns;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(warm_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice(), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(warm_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, WARM_Q, slice(), enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(warm_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WARM_Q);
}

s32 SEC("struct_ops.s/init") BPF_PROG(warm_init)
{
	if (slice_ns < 1000000 || slice_ns > 100000000 || cold_slice_ns < slice_ns)
		return -INVALID;
	began_at = bpf_ktime_get_ns();
	return scx_bpf_create_dsq(WARM_Q, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops warm_ops = {
	.select_cpu = (void *)warm_select_cpu,
	.enqueue = (void *)warm_enqueue,
	.dispatch = (void *)warm_dispatch,
	.init = (void *)warm_init,
	.name = "checks_its_knobs",
};
