// SPDX-License-Identifier: GPL-2.0
/*
 * R15: only cpu_online raises the generation, so that tasks are queued at a CPU that has gone.
 * Stopped at Bytecode or Dynamic.
 */
/*
 * homes: tasks stick to a home CPU; idle CPUs steal. Homes are drawn anew when the set of CPUs has
 * changed.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HM_CPUS	   64
#define HM_BASE	   0x9000ULL
#define HM_SLICE   (6ULL * 1000 * 1000)
#define HM_KTHREAD 0x00200000

struct hm_cpu {
	u32 online;
	u32 load;
};

struct hm_task {
	u32 home;
	u32 gen;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HM_CPUS);
	__type(key, u32);
	__type(value, struct hm_cpu);
} hm_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hm_task);
} hm_tasks SEC(".maps");

static u32 hm_nr_cpus, hm_gen = 1;

static __always_inline struct hm_cpu *hm_cpu(u32 cpu)
{
	return bpf_map_lookup_elem(&hm_cpus, &cpu);
}

void SEC("struct_ops/set_cpumask")
	BPF_PROG(hm_set_cpumask, struct task_struct *p, const struct cpumask *mask)
{
	struct hm_task *t = bpf_task_storage_get(&hm_tasks, p, 0, 0);

	/* draw again at the next enqueue */
	if (t)
		t->gen = 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(hm_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct hm_task *t;
	struct hm_cpu *c;
	u32 home = scx_bpf_task_cpu(p);
	s32 cpu;

	if ((p->flags & HM_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, HM_SLICE, enq_flags);
		return;
	}

	t = bpf_task_storage_get(&hm_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (t && p->nr_cpus_allowed > 1) {
		if (t->gen != hm_gen) {
			t->home = home;
			t->gen = hm_gen;
		}
		home = t->home;
	}

	c = hm_cpu(home);
	if (c)
		c->load++;
	scx_bpf_dsq_insert(p, HM_BASE + home, HM_SLICE, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(hm_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 own = cpu, i, at;
	struct hm_cpu *c;

	if (scx_bpf_dsq_move_to_local(HM_BASE + own))
		return;

	for (i = 1; i < HM_CPUS; i++) {
		if (i >= hm_nr_cpus)
			break;
		at = own + i;
		if (at >= hm_nr_cpus)
			at -= hm_nr_cpus;
		/* a CPU that is away has nothing waiting */
		c = hm_cpu(at);
		if (!c || !c->online)
			continue;
		if (scx_bpf_dsq_move_to_local(HM_BASE + at))
			return;
	}
}

void SEC("struct_ops/cpu_online") BPF_PROG(hm_cpu_online, s32 cpu)
{
	struct hm_cpu *c = hm_cpu(cpu);

	if (!c)
		return;
	c->online = 1;
	c->load = 0;
	/* new room: everybody may look for a better home */
	hm_gen++;
}

void SEC("struct_ops/cpu_offline") BPF_PROG(hm_cpu_offline, s32 cpu)
{
	struct hm_cpu *c = hm_cpu(cpu);

	if (!c)
		return;
	c->online = 0;
	c->load = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(hm_init)
{
	const struct cpumask *mask;
	struct hm_cpu *c;
	s32 ret = 0;
	u32 i;

	hm_nr_cpus = scx_bpf_nr_cpu_ids();
	if (hm_nr_cpus > HM_CPUS)
		return -7;

	for (i = 0; i < HM_CPUS && !ret; i++)
		ret = scx_bpf_create_dsq(HM_BASE + i, -1);
	if (ret)
		return ret;

	mask = scx_bpf_get_online_cpumask();
	for (i = 0; i < HM_CPUS; i++) {
		c = hm_cpu(i);
		if (c)
			c->online = bpf_cpumask_test_cpu(i, mask);
	}
	scx_bpf_put_cpumask(mask);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops homes_ops = {
	.set_cpumask = (void *)hm_set_cpumask,
	.enqueue = (void *)hm_enqueue,
	.dispatch = (void *)hm_dispatch,
	.cpu_online = (void *)hm_cpu_online,
	.cpu_offline = (void *)hm_cpu_offline,
	.init = (void *)hm_init,
	.name = "homes",
};
