// SPDX-License-Identifier: GPL-2.0
/*
 * a queue per cache domain, placement inside the domain first (bpf_cpumask kptrs), bounded scan
 * for stealing by idle CPUs and every eighth pick.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define MAX_CPUS   1024
#define MAX_LLCS   64
#define LLC_Q(l)   (0x1000ULL + ((u32)(l) & (MAX_LLCS - 1)))
#define CPU_Q(c)   ((u64)((u32)(c) & (MAX_CPUS - 1)))

/* The loader may set this from the topology; CPUs of a domain are numbered in a row. */
const volatile u32 llc_size = 8;
const volatile u64 slice_ns = 5000000ULL;
const volatile u64 spread_ns = 120000000ULL;

struct llc_dom {
	struct bpf_cpumask __kptr *cpus;
	u64 kept, moved;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_LLCS);
	__type(key, u32);
	__type(value, struct llc_dom);
} llcs SEC(".maps");

struct llc_cpu {
	u32 picks, victim;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct llc_cpu);
} llc_cpus SEC(".maps");

static u32 nr_llcs = 1;
static u64 nr_stolen;

static __always_inline u32 llc_of(s32 cpu)
{
	return (u32)cpu / (llc_size ?: 1) % MAX_LLCS;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(llc_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 key = llc_of(prev_cpu);
	const struct cpumask *near;
	struct llc_dom *l;
	s32 cpu;

	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		cpu = prev_cpu;
		goto found;
	}

	l = bpf_map_lookup_elem(&llcs, &key);
	if (l) {
		near = (const struct cpumask *)l->cpus;
		/* only when the whole domain is allowed, its mask says nothing about the task's */
		if (near && bpf_cpumask_subset(near, p->cpus_ptr)) {
			cpu = scx_bpf_pick_idle_cpu(near, SCX_PICK_IDLE_CORE);
			if (cpu < 0)
				cpu = scx_bpf_pick_idle_cpu(near, 0);
			if (cpu >= 0) {
				__sync_fetch_and_add(&l->kept, 1);
				goto found;
			}
		}
		__sync_fetch_and_add(&l->moved, 1);
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu < 0)
		return prev_cpu;
found:
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(llc_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 here = scx_bpf_task_cpu(p), cpu;
	u64 spread = slice_ns * 100 / p->scx.weight;
	u64 q;

	if (p->nr_cpus_allowed == 1) {
		if (p->flags & PF_KTHREAD) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
			return;
		}
		q = CPU_Q(here);
	} else {
		q = LLC_Q(llc_of(here));
	}
	if (spread > spread_ns)
		spread = spread_ns;
	scx_bpf_dsq_insert_vtime(p, q, slice_ns, bpf_ktime_get_ns() + spread, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static long steal_from(u64 i, void *ctx)
{
	u32 *first = ctx;

	if (!scx_bpf_dsq_move_to_local(LLC_Q((*first + (u32)i) % (nr_llcs ?: 1))))
		return 0;
	__sync_fetch_and_add(&nr_stolen, 1);
	return 1;
}

void SEC("struct_ops/dispatch") BPF_PROG(llc_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, mine = llc_of(cpu), first;
	struct llc_cpu *lc;

	lc = bpf_map_lookup_elem(&llc_cpus, &zero);
	if (!lc)
		return;
	lc->picks++;

	if ((lc->picks & 1) && scx_bpf_dsq_move_to_local(CPU_Q(cpu)))
		return;
	/* a domain may be held up as a whole: lend a hand even when busy */
	if ((lc->picks & 7) == 4 && scx_bpf_dsq_move_to_local(LLC_Q(lc->victim++ % (nr_llcs ?: 1))))
		return;
	if (scx_bpf_dsq_move_to_local(LLC_Q(mine)))
		return;
	if (scx_bpf_dsq_move_to_local(CPU_Q(cpu)))
		return;

	/* nothing at home: the neighbours in turn, at most once around */
	first = mine + 1;
	bpf_loop(nr_llcs, steal_from, &first, 0);
}

s32 SEC("struct_ops.s/init") BPF_PROG(llc_init)
{
	u32 i, key, nr = scx_bpf_nr_cpu_ids();
	struct bpf_cpumask *mask;
	struct llc_dom *l;
	s32 ret = 0;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	nr_llcs = nr > MAX_LLCS * llc_size ? MAX_LLCS : llc_of(nr - 1) + 1;

	for (i = 0; i < MAX_LLCS && !ret; i++) {
		if (i >= nr_llcs)
			break;
		ret = scx_bpf_create_dsq(LLC_Q(i), -1);
		if (ret)
			break;
		key = i;
		l = bpf_map_lookup_elem(&llcs, &key);
		mask = bpf_cpumask_create();
		if (!mask)
			return -12; /* -ENOMEM */
		if (!l) {
			bpf_cpumask_release(mask);
			return -22; /* -EINVAL */
		}
		mask = bpf_kptr_xchg(&l->cpus, mask);
		if (mask)
			bpf_cpumask_release(mask);
	}

	for (i = 0; i < MAX_CPUS && !ret; i++) {
		if (i >= nr)
			break;
		ret = scx_bpf_create_dsq(CPU_Q(i), -1);
		key = llc_of(i);
		l = bpf_map_lookup_elem(&llcs, &key);
		if (!l)
			continue;
		bpf_rcu_read_lock();
		mask = l->cpus;
		if (mask)
			bpf_cpumask_set_cpu(i, mask);
		bpf_rcu_read_unlock();
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops llc_ops = {
	.select_cpu = (void *)llc_select_cpu,
	.enqueue = (void *)llc_enqueue,
	.dispatch = (void *)llc_dispatch,
	.init = (void *)llc_init,
	.name = "llc_steal",
};
