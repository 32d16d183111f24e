// SPDX-License-Identifier: GPL-2.0
/*
 * R05: an index that wraps one too late reads the -1 behind the last CPU and inserts into the
 * local queue of that. Stopped at Bytecode or Attach or Dynamic.
 */
/*
 * sweep: children are dealt out over the CPUs like cards, all else goes through one shared queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SW_CPUS	       256
#define SW_SHARED      0x4ULL
#define SW_SLICE       (7ULL * 1000 * 1000)
#define SW_CHILD_SLICE (2ULL * 1000 * 1000)

struct sw_task {
	u32 newborn;
};

struct sw_deal {
	struct bpf_spin_lock lock;
	u32 next;
	u64 dealt;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sw_task);
} sw_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SW_CPUS + 1);
	__type(key, u32);
	__type(value, s32);
} sw_order SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sw_deal);
} sw_deals SEC(".maps");

static u32 sw_nr_cpus;

s32 SEC("struct_ops/init_task")
	BPF_PROG(sw_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct sw_task *t = bpf_task_storage_get(&sw_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->newborn = args->fork;
	return 0;
}

static __always_inline u64 sw_deal_dsq(void)
{
	u32 zero = 0, at;
	struct sw_deal *d = bpf_map_lookup_elem(&sw_deals, &zero);
	s32 *cpu;

	if (!d)
		return SW_SHARED;

	bpf_spin_lock(&d->lock);
	if (d->next > sw_nr_cpus)
		d->next = 0;
	at = d->next;
	d->next = at + 1;
	d->dealt++;
	bpf_spin_unlock(&d->lock);

	cpu = bpf_map_lookup_elem(&sw_order, &at);
	if (!cpu)
		return SW_SHARED;
	return SCX_DSQ_LOCAL_ON | (u32)*cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sw_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct sw_task *t = bpf_task_storage_get(&sw_tasks, p, 0, 0);
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SW_SLICE, enq_flags);
		return;
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu < 0 && t && t->newborn && p->nr_cpus_allowed >= (int)sw_nr_cpus) {
		t->newborn = 0;
		scx_bpf_dsq_insert(p, sw_deal_dsq(), SW_CHILD_SLICE, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, SW_SHARED, SW_SLICE, enq_flags);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sw_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SW_SHARED);
}

void SEC("struct_ops/stopping") BPF_PROG(sw_stopping, struct task_struct *p, bool runnable)
{
	struct sw_task *t = bpf_task_storage_get(&sw_tasks, p, 0, 0);

	if (t)
		t->newborn = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(sw_init)
{
	u32 i, n = 0, key;
	s32 cpu;

	sw_nr_cpus = scx_bpf_nr_cpu_ids();
	if (sw_nr_cpus > SW_CPUS)
		return -7;

	for (i = 0; i < SW_CPUS + 1; i++) {
		key = i;
		cpu = -1;
		bpf_map_update_elem(&sw_order, &key, &cpu, BPF_ANY);
	}
	/* neighbours share caches: all even ones, then all odd ones */
	for (i = 0; i < 2 * SW_CPUS; i++) {
		cpu = i < SW_CPUS ? 2 * i : 2 * (i - SW_CPUS) + 1;
		if ((u32)cpu >= sw_nr_cpus)
			continue;
		key = n++;
		bpf_map_update_elem(&sw_order, &key, &cpu, BPF_ANY);
	}
	return scx_bpf_create_dsq(SW_SHARED, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops sweep_ops = {
	.init_task = (void *)sw_init_task,
	.enqueue = (void *)sw_enqueue,
	.dispatch = (void *)sw_dispatch,
	.stopping = (void *)sw_stopping,
	.init = (void *)sw_init,
	.name = "sweep_order",
};
