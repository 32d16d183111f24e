// SPDX-License-Identifier: GPL-2.0
/*
 * T02: set_cpumask compares with the mask that is updated already, so that the home is never moved
 * and the task is parked at a forbidden CPU. Stopped at Bytecode or Dynamic.
 */
/*
 * homestead: every task has a home CPU and returns to its queue; a home with a full yard sends the
 * rest to the common.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HS_CPUS	   256
#define HS_YARD	   2
#define HS_BASE	   0x2000ULL
#define HS_COMMON  0x1fULL
#define HS_KTHREAD 0x00200000

struct hs_deed {
	u32 home;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hs_deed);
} hs_deeds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} hs_turn SEC(".maps");

static u32 hs_nr_cpus;

s32 SEC("struct_ops/init_task")
	BPF_PROG(hs_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct hs_deed *d = bpf_task_storage_get(&hs_deeds, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!d)
		return -12;
	d->home = bpf_cpumask_any_distribute(p->cpus_ptr);
	return 0;
}

void SEC("struct_ops/set_cpumask")
	BPF_PROG(hs_set_cpumask, struct task_struct *p, const struct cpumask *mask)
{
	struct hs_deed *d = bpf_task_storage_get(&hs_deeds, p, 0, 0);

	if (!d)
		return;
	/* most calls only confirm what is in force */
	if (bpf_cpumask_equal(mask, p->cpus_ptr))
		return;
	if (!bpf_cpumask_test_cpu(d->home, mask))
		d->home = bpf_cpumask_any_distribute(mask);
}

void SEC("struct_ops/enqueue") BPF_PROG(hs_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct hs_deed *d;
	u32 home;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		u64 dsq = SCX_DSQ_LOCAL;

		if (!(p->flags & HS_KTHREAD))
			dsq = HS_BASE + (u32)scx_bpf_task_cpu(p);
		scx_bpf_dsq_insert(p, dsq, SCX_SLICE_DFL, enq_flags);
		return;
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | (u32)cpu, SCX_SLICE_DFL, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}

	d = bpf_task_storage_get(&hs_deeds, p, 0, 0);
	home = d ? d->home : hs_nr_cpus;
	if (home >= hs_nr_cpus || scx_bpf_dsq_nr_queued(HS_BASE + home) >= HS_YARD) {
		scx_bpf_dsq_insert(p, HS_COMMON, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, HS_BASE + home, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(home, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(hs_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u32 *turn = bpf_map_lookup_elem(&hs_turn, &zero);
	u64 own = HS_BASE + (u32)cpu;

	/* yard and common alternate, so that neither waits for the other to run dry */
	if (turn && (*turn)++ & 1) {
		if (!scx_bpf_dsq_move_to_local(HS_COMMON))
			scx_bpf_dsq_move_to_local(own);
		return;
	}
	if (!scx_bpf_dsq_move_to_local(own))
		scx_bpf_dsq_move_to_local(HS_COMMON);
}

s32 SEC("struct_ops.s/init") BPF_PROG(hs_init)
{
	s32 ret;
	u32 i;

	hs_nr_cpus = scx_bpf_nr_cpu_ids();
	if (hs_nr_cpus > HS_CPUS)
		return -7;

	ret = scx_bpf_create_dsq(HS_COMMON, -1);
	for (i = 0; i < HS_CPUS && !ret; i++) {
		if (i >= hs_nr_cpus)
			break;
		ret = scx_bpf_create_dsq(HS_BASE + i, -1);
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops homestead_ops = {
	.init_task = (void *)hs_init_task,
	.set_cpumask = (void *)hs_set_cpumask,
	.enqueue = (void *)hs_enqueue,
	.dispatch = (void *)hs_dispatch,
	.init = (void *)hs_init,
	.name = "homestead",
};
