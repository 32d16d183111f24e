// SPDX-License-Identifier: GPL-2.0
/*
 * Q08: an index one off has a task always go back to the group of caches before the last. Stopped
 * at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* A FIFO for each group of CPUs that share a cache; tasks go back to the group they were last seen
 * in, idle groups help busy ones. */
#define PF_KTHREAD 0x00200000
#define MAX_CPUS   128
#define MAX_GROUPS 4
#define GROUPQ(g)  (0x70ULL + (g))
#define CPUQ(cpu)  (0x800ULL + (u32)(cpu))
#define BASE_SLICE 6000000ULL

struct ls_task {
	u32 ring[2];
	u32 n;
};

struct ls_cpu {
	u32 group;
	u32 flip;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ls_task);
} ls_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct ls_cpu);
} ls_cpus SEC(".maps");

static u32 nr_cpus = 1;
static u32 nr_groups = 1;

static __always_inline u32 group_of(u32 cpu)
{
	struct ls_cpu *c = bpf_map_lookup_elem(&ls_cpus, &cpu);

	return c && c->group < MAX_GROUPS ? c->group : 0;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 1500000 ? 1500000 : s > 30000000 ? 30000000 : s;
}

static __always_inline void note_group(struct ls_task *t, u32 group)
{
	t->ring[t->n & 1] = group;
	t->n++;
}

static __always_inline u32 last_group(struct ls_task *t)
{
	u32 g = t->ring[t->n & 1];

	return g < MAX_GROUPS ? g : 0;
}

static __always_inline s32 idle_in(struct task_struct *p, u32 group)
{
	u32 i;

	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		if (group_of(i) == group && bpf_cpumask_test_cpu(i, p->cpus_ptr) &&
		    scx_bpf_test_and_clear_cpu_idle(i))
			return i;
	}
	return -1;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ls_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct ls_task *t = bpf_task_storage_get(&ls_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	s32 cpu = -1;

	if (t && !(p->flags & PF_KTHREAD)) {
		u32 g = last_group(t);

		if (group_of((u32)prev_cpu) == g &&
		    bpf_cpumask_test_cpu((u32)prev_cpu, p->cpus_ptr) &&
		    scx_bpf_test_and_clear_cpu_idle(prev_cpu))
			cpu = prev_cpu;
		else
			cpu = idle_in(p, g);
	}
	if (cpu < 0)
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu < 0)
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ls_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct ls_task *t = bpf_task_storage_get(&ls_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	s32 cpu = scx_bpf_task_cpu(p);

	if (p->nr_cpus_allowed < nr_cpus) {
		if ((p->flags & PF_KTHREAD) || (u32)cpu >= nr_cpus) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
			return;
		}
		scx_bpf_dsq_insert(p, CPUQ(cpu), slice_of(p), enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, GROUPQ(t ? last_group(t) : group_of((u32)cpu)), slice_of(p),
			   enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ls_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 i, g, key = (u32)cpu;
	struct ls_cpu *c = bpf_map_lookup_elem(&ls_cpus, &key);

	g = c && c->group < MAX_GROUPS ? c->group : 0;
	if (c && key < nr_cpus) {
		c->flip ^= 1;
		if (c->flip && scx_bpf_dsq_move_to_local(CPUQ(key)))
			return;
	}
	for (i = 0; i < MAX_GROUPS; i++) {
		if (scx_bpf_dsq_move_to_local(GROUPQ((g + i) % MAX_GROUPS)))
			return;
	}
	if (key < nr_cpus)
		scx_bpf_dsq_move_to_local(CPUQ(key));
}

void SEC("struct_ops/running") BPF_PROG(ls_running, struct task_struct *p)
{
	struct ls_task *t = bpf_task_storage_get(&ls_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (t)
		note_group(t, group_of((u32)scx_bpf_task_cpu(p)));
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(ls_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct ls_task *t = bpf_task_storage_get(&ls_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u32 g = group_of((u32)scx_bpf_task_cpu(p));

	if (t) {
		note_group(t, g);
		note_group(t, g);
	}
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ls_init)
{
	u32 i, k, nr = scx_bpf_nr_cpu_ids();
	struct ls_cpu *c;
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	nr_groups = nr >= 16 ? 4 : nr >= 2 ? 2 : 1;
	for (i = 0; i < MAX_GROUPS; i++) {
		err = scx_bpf_create_dsq(GROUPQ(i), -1);
		if (err)
			return err;
	}
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		k = i;
		c = bpf_map_lookup_elem(&ls_cpus, &k);
		if (c)
			c->group = i * nr_groups / nr;
		err = scx_bpf_create_dsq(CPUQ(i), -1);
		if (err)
			return err;
	}
	nr_cpus = nr;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops ls_ops = {
	.select_cpu = (void *)ls_select_cpu,
	.enqueue = (void *)ls_enqueue,
	.dispatch = (void *)ls_dispatch,
	.running = (void *)ls_running,
	.init_task = (void *)ls_init_task,
	.init = (void *)ls_init,
	.name = "last_seen",
};
