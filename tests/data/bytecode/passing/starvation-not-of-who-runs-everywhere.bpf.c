// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks that may not run everywhere, as their mask says, go to their CPU's own queue.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9 };

struct everywhere {
	struct bpf_cpumask __kptr *cpus;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct everywhere);
} everywheres SEC(".maps");

static bool runs_everywhere(struct task_struct *p)
{
	u32 zero = 0;
	struct everywhere *all = bpf_map_lookup_elem(&everywheres, &zero);
	struct bpf_cpumask *cpus;
	bool found;

	if (!all)
		return true;
	bpf_rcu_read_lock();
	cpus = all->cpus;
	found = !cpus || bpf_cpumask_subset((const struct cpumask *)cpus, p->cpus_ptr);
	bpf_rcu_read_unlock();
	return found;
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (!runs_everywhere(p))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
	else
		scx_bpf_dsq_insert(p, WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	u32 zero = 0;
	struct everywhere *all = bpf_map_lookup_elem(&everywheres, &zero);
	struct bpf_cpumask *cpus = bpf_cpumask_create();

	if (!cpus)
		return -NO_MEMORY;
	bpf_cpumask_setall(cpus);
	if (all)
		cpus = bpf_kptr_xchg(&all->cpus, cpus);
	if (cpus)
		bpf_cpumask_release(cpus);
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
