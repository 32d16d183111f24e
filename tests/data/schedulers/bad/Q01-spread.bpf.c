// SPDX-License-Identifier: GPL-2.0
/*
 * Q01: the CPU of a waking task is the next one of a machine-wide round robin over its affinity
 * mask, no matter where it ran, which CPUs are idle or who woke it: random placement. Shows as
 * many migrations and worse latency; nothing exits. Stopped at Bytecode or Dynamic.
 */
/*
 * Per-CPU queues, wakeups spread evenly, dry CPUs steal.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define MAX_CPUS   512
#define RQ_DSQ	   0x2000ULL

struct sp_walk {
	u32 cpu;
	u32 taken;
};

static u32 nr_cpus = 1;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = 8000000ULL * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 30000000 ? 30000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sp_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 cpu = bpf_cpumask_any_distribute(p->cpus_ptr);

	if (cpu >= nr_cpus)
		return prev_cpu;
	/* takes note of an idle target, it is woken by the insert */
	if (scx_bpf_test_and_clear_cpu_idle(cpu))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sp_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, RQ_DSQ + cpu, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static int steal(u32 i, void *arg)
{
	struct sp_walk *w = arg;

	if (!scx_bpf_dsq_move_to_local(RQ_DSQ + (w->cpu + i) % nr_cpus))
		return 0;
	w->taken++;
	return 1;
}

void SEC("struct_ops/dispatch") BPF_PROG(sp_dispatch, s32 cpu, struct task_struct *prev)
{
	struct sp_walk w = {.cpu = cpu};

	bpf_loop(nr_cpus, steal, &w, 0);
}

s32 SEC("struct_ops.s/init") BPF_PROG(sp_init)
{
	u32 i;
	s32 err;

	nr_cpus = scx_bpf_nr_cpu_ids();
	if (nr_cpus > MAX_CPUS)
		return -22;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		err = scx_bpf_create_dsq(RQ_DSQ + i, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops sp_ops = {
	.select_cpu = (void *)sp_select_cpu,
	.enqueue = (void *)sp_enqueue,
	.dispatch = (void *)sp_dispatch,
	.init = (void *)sp_init,
	.name = "spread",
};
