// SPDX-License-Identifier: GPL-2.0
/*
 * K02: the search for the smallest load begins at 0, and nothing is smaller, so that every task
 * goes to CPU 0's local queue. Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* No shared queues at all: each wake-up and each used-up slice goes to the allowed CPU that has
 * least to do, counted in tasks and weighted. */
#define PF_KTHREAD 0x00200000
#define MAX_CPUS   128
#define BASE_SLICE 10000000ULL

struct ll_cpu {
	u64 weight_sum;
	u64 placed;
};

struct ll_task {
	u32 charged_cpu;
	u32 weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct ll_cpu);
} ll_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ll_task);
} ll_tasks SEC(".maps");

static u32 nr_cpus = 1;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 40000000 ? 40000000 : s;
}

static __always_inline u64 load_of(u32 cpu)
{
	struct ll_cpu *c = bpf_map_lookup_elem(&ll_cpus, &cpu);
	u64 waiting = (u32)scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | cpu);

	return waiting * 100 + (c ? c->weight_sum : 0);
}

static int ll_visit(u32 cpu, u64 *best)
{
	u64 load;

	if (cpu >= MAX_CPUS)
		return 1;
	load = load_of(cpu);
	if (load < best[1]) {
		best[0] = cpu;
		best[1] = load;
	}
	return load == 0;
}

static __always_inline s32 least_loaded(struct task_struct *p, s32 fallback)
{
	u64 best[2] = {};

	bpf_loop(nr_cpus, ll_visit, best, 0);
	if (best[0] < MAX_CPUS && bpf_cpumask_test_cpu((u32)best[0], p->cpus_ptr))
		return best[0];
	return fallback;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ll_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu;

	if (p->flags & PF_KTHREAD) {
		cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
		if (idle)
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return cpu;
	}
	cpu = least_loaded(p, prev_cpu);
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ll_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) || p->nr_cpus_allowed == 1 || p->migration_disabled) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	cpu = least_loaded(p, -1);
	if (cpu < 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | (u64)(u32)cpu, slice_of(p), enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/running") BPF_PROG(ll_running, struct task_struct *p)
{
	struct ll_task *t = bpf_task_storage_get(&ll_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u32 cpu = (u32)scx_bpf_task_cpu(p);
	struct ll_cpu *c = bpf_map_lookup_elem(&ll_cpus, &cpu);

	if (!t || !c)
		return;
	t->weight = p->scx.weight;
	t->charged_cpu = cpu;
	__sync_fetch_and_add(&c->weight_sum, t->weight);
	c->placed++;
}

void SEC("struct_ops/stopping") BPF_PROG(ll_stopping, struct task_struct *p, bool runnable)
{
	struct ll_task *t = bpf_task_storage_get(&ll_tasks, p, 0, 0);
	struct ll_cpu *c;
	u32 cpu;

	if (!t || !t->weight)
		return;
	cpu = t->charged_cpu;
	c = bpf_map_lookup_elem(&ll_cpus, &cpu);
	if (c)
		__sync_fetch_and_add(&c->weight_sum, -(u64)t->weight);
	t->weight = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ll_init)
{
	u32 nr = scx_bpf_nr_cpu_ids();

	nr_cpus = nr < MAX_CPUS ? nr : MAX_CPUS;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops ll_ops = {
	.select_cpu = (void *)ll_select_cpu,
	.enqueue = (void *)ll_enqueue,
	.running = (void *)ll_running,
	.stopping = (void *)ll_stopping,
	.init = (void *)ll_init,
	.name = "least_load",
};
