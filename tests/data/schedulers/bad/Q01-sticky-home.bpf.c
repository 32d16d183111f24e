// SPDX-License-Identifier: GPL-2.0
/*
 * Q01: a home expires in milliseconds that are compared with nanoseconds, so that every wakeup
 * draws a random CPU. Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a
 * batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Sticky homes: a task lives on one CPU for a while and is then given a new one, which spreads the
 * load without any shared queue.
 */
#define PF_KTHREAD 0x00200000
#define NS_PER_MS  1000000ULL
#define HOME_TTL   (2000 * NS_PER_MS)
#define BASE_SLICE (10 * NS_PER_MS)
#define DRAWS	   4

struct sh_task {
	u64 chosen_at;
	s32 home;
	u32 valid;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sh_task);
} sh_tasks SEC(".maps");

static u32 nr_cpus = 1;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	if (s < 2 * NS_PER_MS)
		return 2 * NS_PER_MS;
	return s > 4 * BASE_SLICE ? 4 * BASE_SLICE : s;
}

static __always_inline s32 choose_home(struct task_struct *p, s32 fallback)
{
	u32 i, cpu;
	s32 any;

	for (i = 0; i < DRAWS; i++) {
		cpu = bpf_get_prandom_u32() % nr_cpus;
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			return (s32)cpu;
	}
	any = scx_bpf_pick_any_cpu(p->cpus_ptr, 0);
	return any >= 0 ? any : fallback;
}

static __always_inline s32 home_of(struct task_struct *p, s32 fallback)
{
	u64 now = scx_bpf_now();
	struct sh_task *t;

	t = bpf_task_storage_get(&sh_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t)
		return fallback;
	if (t->valid && now - t->chosen_at < HOME_TTL && t->home >= 0 &&
	    bpf_cpumask_test_cpu((u32)t->home, p->cpus_ptr))
		return t->home;

	t->home = choose_home(p, fallback);
	t->chosen_at = now / NS_PER_MS;
	t->valid = 1;
	return t->home;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sh_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu;

	if (p->flags & PF_KTHREAD) {
		cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
		if (idle)
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, BASE_SLICE, 0);
		return cpu;
	}
	cpu = home_of(p, prev_cpu);
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sh_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) || p->nr_cpus_allowed == 1 || p->migration_disabled) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	cpu = home_of(p, scx_bpf_task_cpu(p));
	if (cpu < 0 || !bpf_cpumask_test_cpu((u32)cpu, p->cpus_ptr)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | (u64)(u32)cpu, slice_of(p), enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops.s/init") BPF_PROG(sh_init)
{
	nr_cpus = scx_bpf_nr_cpu_ids();
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops sh_ops = {
	.select_cpu = (void *)sh_select_cpu,
	.enqueue = (void *)sh_enqueue,
	.init = (void *)sh_init,
	.name = "sticky_home",
};
