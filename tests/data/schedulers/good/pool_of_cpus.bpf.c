// SPDX-License-Identifier: GPL-2.0
/*
 * Every second CPU is in a pool that light tasks prefer, the others are for heavy ones. It is a
 * preference only: who finds no idle CPU in its own half takes any, and all wait in one queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SHARED 0x222
#define POOL   SEC(".bss.pool") __hidden __attribute__((aligned(8)))

enum { NO_MEMORY = 12 };

struct bpf_cpumask __kptr *light_pool POOL;
struct bpf_cpumask __kptr *heavy_pool POOL;

static s32 idle_in(struct bpf_cpumask *pool, struct task_struct *p)
{
	s32 cpu;

	if (!pool)
		return -1;
	cpu = bpf_cpumask_any_and_distribute((const struct cpumask *)pool, p->cpus_ptr);
	if (cpu >= 0 && cpu < scx_bpf_nr_cpu_ids() && scx_bpf_test_and_clear_cpu_idle(cpu))
		return cpu;
	return -1;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(pool_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = p->scx.weight < 100 ? idle_in(light_pool, p) : idle_in(heavy_pool, p);
	bool is_idle = cpu >= 0;

	if (!is_idle)
		cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(pool_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, SHARED, SCX_SLICE_DFL, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(pool_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SHARED);
}

s32 SEC("struct_ops.s/init") BPF_PROG(pool_init)
{
	struct bpf_cpumask *light = bpf_cpumask_create(), *heavy = bpf_cpumask_create();
	s32 cpu;

	if (!light || !heavy) {
		if (light)
			bpf_cpumask_release(light);
		if (heavy)
			bpf_cpumask_release(heavy);
		return -NO_MEMORY;
	}
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		if (cpu & 1)
			bpf_cpumask_set_cpu(cpu, light);
		else
			bpf_cpumask_set_cpu(cpu, heavy);
	}
	light = bpf_kptr_xchg(&light_pool, light);
	if (light)
		bpf_cpumask_release(light);
	heavy = bpf_kptr_xchg(&heavy_pool, heavy);
	if (heavy)
		bpf_cpumask_release(heavy);
	return scx_bpf_create_dsq(SHARED, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops pool_ops = {
	.select_cpu = (void *)pool_select_cpu,
	.enqueue = (void *)pool_enqueue,
	.dispatch = (void *)pool_dispatch,
	.init = (void *)pool_init,
	.name = "pool_of_cpus",
};
