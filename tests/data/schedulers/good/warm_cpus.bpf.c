// SPDX-License-Identifier: GPL-2.0
/*
 * A small set of CPUs is kept warm: woken tasks go there first, a CPU is taken in when none of them
 * is idle, and leaves the set after it had nothing to do for three milliseconds.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

#define SHARED 1

struct bpf_cpumask __kptr *primary SEC(".data.warm");
struct cctx {
	struct bpf_timer timer;
	s32 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 512);
	__type(key, u32);
	__type(value, struct cctx);
} cctxs SEC(".maps");

static int compact(void *map, int *key, struct cctx *c)
{
	struct bpf_cpumask *m;

	bpf_rcu_read_lock();
	m = primary;
	if (m && c->cpu != 0)
		bpf_cpumask_clear_cpu(c->cpu, m);
	bpf_rcu_read_unlock();
	return 0;
}

s32 SEC("struct_ops/warm_select_cpu")
	BPF_PROG(warm_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct bpf_cpumask *m;
	s32 cpu = -1;

	bpf_rcu_read_lock();
	m = primary;
	if (m && bpf_cpumask_test_cpu(prev_cpu, (const struct cpumask *)m) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		cpu = prev_cpu;
	} else if (m) {
		s32 i;

		bpf_for (i, 0, scx_bpf_nr_cpu_ids()) {
			if (bpf_cpumask_test_cpu(i, (const struct cpumask *)m) &&
			    bpf_cpumask_test_cpu(i, p->cpus_ptr) &&
			    scx_bpf_test_and_clear_cpu_idle(i)) {
				cpu = i;
				break;
			}
		}
	}
	if (cpu < 0) {
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		if (cpu >= 0 && m)
			bpf_cpumask_set_cpu(cpu, m);
	}
	bpf_rcu_read_unlock();
	if (cpu < 0)
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/warm_enqueue") BPF_PROG(warm_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SHARED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/warm_dispatch") BPF_PROG(warm_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = cpu;
	struct cctx *c = bpf_map_lookup_elem(&cctxs, &key);

	if (scx_bpf_dsq_move_to_local(SHARED)) {
		if (c)
			bpf_timer_cancel(&c->timer);
		return;
	}
	if (c)
		bpf_timer_start(&c->timer, 3 * MS, 0);
}

s32 SEC("struct_ops.s/warm_init") BPF_PROG(warm_init)
{
	struct bpf_cpumask *m;
	s32 i, err;

	err = scx_bpf_create_dsq(SHARED, -1);
	if (err)
		return err;
	bpf_for (i, 0, scx_bpf_nr_cpu_ids()) {
		u32 key = i;
		struct cctx *c = bpf_map_lookup_elem(&cctxs, &key);

		if (!c)
			return -22;
		c->cpu = i;
		if (bpf_timer_init(&c->timer, &cctxs, 1))
			return -22;
		if (bpf_timer_set_callback(&c->timer, compact))
			return -22;
	}
	m = bpf_cpumask_create();
	if (!m)
		return -12;
	m = bpf_kptr_xchg(&primary, m);
	if (m)
		bpf_cpumask_release(m);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops warm_ops = {
	.select_cpu = (void *)warm_select_cpu,
	.enqueue = (void *)warm_enqueue,
	.dispatch = (void *)warm_dispatch,
	.init = (void *)warm_init,
	.name = "warm",
};
