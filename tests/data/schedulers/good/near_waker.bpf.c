// SPDX-License-Identifier: GPL-2.0
/*
 * Wake-affine idle CPU choice (previous, then the waker's neighbourhood, then any), all within
 * affinity; what finds no idle CPU goes to one FIFO with weighted slices.
 */
/*
 * Placement: the CPU the task ran on if it idles, else the CPU of the waker,
 * else a neighbour of the waker, else any idle CPU. The choice only matters
 * while there are idle CPUs; otherwise everybody queues in the same line.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define NW_LINE	      0x44
#define NW_NEIGHBOURS 4

const volatile u64 nw_slice_ns = 5000000ULL;

static __always_inline u64 nw_slice(const struct task_struct *p)
{
	u64 slice = nw_slice_ns * p->scx.weight / 100;

	if (slice < 3000000ULL)
		return 3000000ULL;
	if (slice > 10000000ULL)
		return 10000000ULL;
	return slice;
}

static __always_inline bool nw_claim(struct task_struct *p, s32 cpu)
{
	if (cpu < 0 || (u32)cpu >= scx_bpf_nr_cpu_ids())
		return false;
	if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
		return false;
	return scx_bpf_test_and_clear_cpu_idle(cpu);
}

static __always_inline s32 nw_find_idle(struct task_struct *p, s32 prev_cpu)
{
	s32 waker = bpf_get_smp_processor_id();
	s32 first = waker & ~(NW_NEIGHBOURS - 1);
	s32 i;

	if (nw_claim(p, prev_cpu))
		return prev_cpu;

	for (i = 0; i < NW_NEIGHBOURS; i++) {
		if (nw_claim(p, first + i))
			return first + i;
	}
	return scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(nw_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = nw_find_idle(p, prev_cpu);

	if (cpu < 0)
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, nw_slice(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(nw_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, NW_LINE, nw_slice(p), enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(nw_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(NW_LINE);
}

s32 SEC("struct_ops.s/init") BPF_PROG(nw_init)
{
	return scx_bpf_create_dsq(NW_LINE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops nw_ops = {
	.select_cpu = (void *)nw_select_cpu,
	.enqueue = (void *)nw_enqueue,
	.dispatch = (void *)nw_dispatch,
	.init = (void *)nw_init,
	.name = "near_waker",
};
