// SPDX-License-Identifier: GPL-2.0
/*
 * a lane per CPU; a waking task takes the shorter of two allowed lanes; lanes are FIFO with
 * slices by weight; movable tasks are stolen, pinned ones have a lane of their own.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD	0x00200000
#define CPUS_MAX	1024
#define lane(cpu)	((u64)((u32)(cpu) & (CPUS_MAX - 1)))
#define fixed_lane(cpu) (lane(cpu) | 0x10000ULL)

const volatile u64 slice_base = 4000000;
const volatile u64 slice_least = 1000000;
const volatile u64 slice_most = 12000000;

struct lane_cpu {
	u32 n;
	u32 next_victim;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lane_cpu);
} lane_cpus SEC(".maps");

static u32 cpus;
static u64 steals;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = slice_base * p->scx.weight / 100;

	return s < slice_least ? slice_least : s > slice_most ? slice_most : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lane_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu, other;

	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr)) {
		if (scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
			cpu = prev_cpu;
			goto direct;
		}
		cpu = prev_cpu;
	} else {
		/* moved away from its old CPU by a change of affinity */
		cpu = scx_bpf_pick_any_cpu(p->cpus_ptr, 0);
		if (cpu < 0)
			return prev_cpu;
	}

	other = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (other >= 0) {
		cpu = other;
		goto direct;
	}

	/* everybody is busy: stay, unless the other choice is clearly shorter */
	other = bpf_cpumask_any_distribute(p->cpus_ptr);
	if (other >= 0 && (u32)other < cpus &&
	    scx_bpf_dsq_nr_queued(lane(other)) + 1 < scx_bpf_dsq_nr_queued(lane(cpu)))
		cpu = other;
	return cpu;

direct:
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lane_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 here = scx_bpf_task_cpu(p), idle;

	if (p->nr_cpus_allowed > 1)
		scx_bpf_dsq_insert(p, lane(here), slice_of(p), enq_flags);
	else if (p->flags & PF_KTHREAD)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
	else
		scx_bpf_dsq_insert(p, fixed_lane(here), slice_of(p), enq_flags);

	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

static long steal(u64 i, void *ctx)
{
	u32 *first = ctx;

	if (!scx_bpf_dsq_move_to_local(lane((*first + (u32)i) % (cpus ?: 1))))
		return 0;
	__sync_fetch_and_add(&steals, 1);
	return 1;
}

void SEC("struct_ops/dispatch") BPF_PROG(lane_dispatch, s32 cpu, struct task_struct *prev)
{
	struct lane_cpu *lc;
	u32 zero = 0, n, first = cpu + 1;

	lc = bpf_map_lookup_elem(&lane_cpus, &zero);
	if (!lc)
		return;
	n = lc->n++;

	/* own lane and fixed lane take turns; every fourth time a neighbour's is looked at first */
	if ((n & 3) == 2) {
		u32 victim = lc->next_victim++ % (cpus ?: 1);

		if (scx_bpf_dsq_move_to_local(lane(victim)))
			return;
	}
	if ((n & 1) && scx_bpf_dsq_move_to_local(fixed_lane(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(lane(cpu)) || scx_bpf_dsq_move_to_local(fixed_lane(cpu)))
		return;
	bpf_loop(cpus, steal, &first, 0);
}

s32 SEC("struct_ops.s/init") BPF_PROG(lane_init)
{
	u32 i;
	s32 ret = 0;

	cpus = scx_bpf_nr_cpu_ids();
	for (i = 0; i < CPUS_MAX && i < cpus && !ret; i++) {
		ret = scx_bpf_create_dsq(lane(i), -1);
		if (!ret)
			ret = scx_bpf_create_dsq(fixed_lane(i), -1);
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops lane_ops = {
	.select_cpu = (void *)lane_select_cpu,
	.enqueue = (void *)lane_enqueue,
	.dispatch = (void *)lane_dispatch,
	.init = (void *)lane_init,
	.name = "affine_lanes",
};
