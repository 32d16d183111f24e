// SPDX-License-Identifier: GPL-2.0
/*
 * Q03: an idle CPU steals only from a queue that holds at least three tasks, and a waking task
 * looks for another idle CPU only if its own queue is long. One or two tasks wait behind a hog
 * for whole slices while other CPUs are idle. Stopped at Bytecode or Dynamic.
 */
/*
 * Per-CPU queues with stealing that minds the caches of the other CPUs.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define MAX_CPUS   512
#define LANE_DSQ   0x4000ULL

const volatile s32 worth_it = 3;

static u32 nr_cpus = 1;

struct cs_walk {
	u32 cpu;
	u32 taken;
};

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = 10000000ULL * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 40000000 ? 40000000 : s;
}

static int look_at(u32 i, void *arg)
{
	struct cs_walk *w = arg;
	u32 cpu = (w->cpu + i) % nr_cpus;

	if (scx_bpf_dsq_nr_queued(LANE_DSQ + cpu) < worth_it)
		return 0;
	if (!scx_bpf_dsq_move_to_local(LANE_DSQ + cpu))
		return 0;
	w->taken++;
	return 1;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(cs_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu;

	if (bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return prev_cpu;
	}
	if (scx_bpf_dsq_nr_queued(LANE_DSQ + (u32)prev_cpu) >= worth_it - 1) {
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		if (cpu >= 0) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
			return cpu;
		}
	}
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(cs_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, LANE_DSQ + cpu, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(cs_dispatch, s32 cpu, struct task_struct *prev)
{
	struct cs_walk w = {.cpu = cpu};

	if (scx_bpf_dsq_move_to_local(LANE_DSQ + cpu))
		return;
	bpf_loop(nr_cpus, look_at, &w, 0);
}

s32 SEC("struct_ops.s/init") BPF_PROG(cs_init)
{
	u32 i;
	s32 err;

	nr_cpus = scx_bpf_nr_cpu_ids();
	if (nr_cpus > MAX_CPUS)
		return -22;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		err = scx_bpf_create_dsq(LANE_DSQ + i, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops cs_ops = {
	.select_cpu = (void *)cs_select_cpu,
	.enqueue = (void *)cs_enqueue,
	.dispatch = (void *)cs_dispatch,
	.init = (void *)cs_init,
	.name = "considerate",
};
