// SPDX-License-Identifier: GPL-2.0
/*
 * K02: a reduction by multiplying is cut to 32 bits, so that both CPUs to choose from are always
 * CPU 0. Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Two random choices: for every insertion two CPUs are drawn by hashing and the one with the
 * shorter queue is taken, which keeps all queues within one or two tasks of each other without any
 * balancing.
 */
#define PF_KTHREAD 0x00200000
#define MAX_CPUS   128
#define CPUQ(cpu)  (0x300ULL + (cpu))
#define BASE_SLICE 8000000ULL

struct tc_cpu {
	u64 inserted;
	u64 vclock;
};

struct tc_task {
	u64 vt;
	u64 began;
	u32 draws;
	u32 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct tc_cpu);
} tc_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tc_task);
} tc_tasks SEC(".maps");

static u32 nr_cpus = 1;

static __always_inline u32 mix(u32 x)
{
	x ^= x >> 16;
	x *= 0x7feb352d;
	x ^= x >> 15;
	x *= 0x846ca68b;
	return x ^ (x >> 16);
}

/* map a 32-bit hash evenly to 0..n-1 without a division */
static __always_inline u32 reduce(u32 hash, u32 n)
{
	u32 scaled = hash * n;

	return (u64)scaled >> 32;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 32000000 ? 32000000 : s;
}

static __always_inline u32 choose(struct task_struct *p, struct tc_task *t, u32 here)
{
	u32 seed = ((u32)p->pid << 12) + t->draws++;
	u32 a = reduce(mix(seed), nr_cpus), b = reduce(mix(seed ^ 0x5bd1e995), nr_cpus);

	if (!bpf_cpumask_test_cpu(a, p->cpus_ptr))
		a = here;
	if (!bpf_cpumask_test_cpu(b, p->cpus_ptr))
		b = here;
	return scx_bpf_dsq_nr_queued(CPUQ(b)) < scx_bpf_dsq_nr_queued(CPUQ(a)) ? b : a;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(tc_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct tc_task *t = bpf_task_storage_get(&tc_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool idle = false;
	s32 cpu;

	if (t && !(p->flags & PF_KTHREAD))
		return choose(p, t, (u32)prev_cpu);
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(tc_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct tc_task *t = bpf_task_storage_get(&tc_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u32 cpu = (u32)scx_bpf_task_cpu(p);
	struct tc_cpu *c;

	if (!t || cpu >= nr_cpus || (p->flags & PF_KTHREAD)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	/* a wake-up has made its choice in select_cpu */
	if (!(enq_flags & SCX_ENQ_CPU_SELECTED) && p->nr_cpus_allowed > 1 && !p->migration_disabled)
		cpu = choose(p, t, cpu);

	c = bpf_map_lookup_elem(&tc_cpus, &cpu);
	if (c) {
		c->inserted++;
		if (t->cpu != cpu || (s64)(t->vt - (c->vclock - BASE_SLICE)) < 0)
			t->vt = c->vclock;
		if ((s64)(t->vt - (c->vclock + 20 * BASE_SLICE)) > 0)
			t->vt = c->vclock + 20 * BASE_SLICE;
	}
	t->cpu = cpu;
	scx_bpf_dsq_insert_vtime(p, CPUQ(cpu), slice_of(p), t->vt, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(tc_dispatch, s32 cpu, struct task_struct *prev)
{
	if ((u32)cpu < nr_cpus)
		scx_bpf_dsq_move_to_local(CPUQ((u32)cpu));
}

void SEC("struct_ops/running") BPF_PROG(tc_running, struct task_struct *p)
{
	struct tc_task *t = bpf_task_storage_get(&tc_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u32 cpu = (u32)scx_bpf_task_cpu(p);
	struct tc_cpu *c = bpf_map_lookup_elem(&tc_cpus, &cpu);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if (c && t->cpu == cpu && (s64)(t->vt - c->vclock) > 0)
		c->vclock = t->vt;
}

void SEC("struct_ops/stopping") BPF_PROG(tc_stopping, struct task_struct *p, bool runnable)
{
	struct tc_task *t = bpf_task_storage_get(&tc_tasks, p, 0, 0);
	u32 weight = p->scx.weight;

	if (t && t->began && weight)
		t->vt += (scx_bpf_now() - t->began) * 100 / weight;
}

s32 SEC("struct_ops.s/init") BPF_PROG(tc_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(CPUQ(i), -1);
		if (err)
			return err;
	}
	nr_cpus = nr;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops tc_ops = {
	.select_cpu = (void *)tc_select_cpu,
	.enqueue = (void *)tc_enqueue,
	.dispatch = (void *)tc_dispatch,
	.running = (void *)tc_running,
	.stopping = (void *)tc_stopping,
	.init = (void *)tc_init,
	.name = "pairs_compared",
};
