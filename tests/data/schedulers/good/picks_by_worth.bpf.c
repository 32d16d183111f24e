// SPDX-License-Identifier: GPL-2.0
/*
 * Among the first sixteen who wait and may run here, the one with the greatest product of weight
 * and time waited is next; whoever has waited for `patience_ns` is next in any case.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WAITING 0x15

const volatile u64 slice_ns = 5000000;
const volatile u64 patience_ns = 300000000;

enum { WINDOW = 16 };

static u64 worth(const struct task_struct *p, u64 now)
{
	u64 waited = now - p->scx.dsq_vtime;

	return waited >= patience_ns ? ~0ULL : waited * p->scx.weight;
}

static u64 best_worth(s32 cpu, u64 now)
{
	struct task_struct *p;
	u64 best = 0, value;
	u32 seen = 0;

	bpf_for_each (scx_dsq, p, WAITING, 0) {
		if (++seen > WINDOW)
			break;
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			continue;
		value = worth(p, now);
		if (value > best)
			best = value;
	}
	return best;
}

void SEC("struct_ops/enqueue") BPF_PROG(worth_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	p->scx.dsq_vtime = bpf_ktime_get_ns();
	scx_bpf_dsq_insert(p, WAITING, slice_ns, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(worth_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns(), best = best_worth(cpu, now);
	struct task_struct *p;
	u32 seen = 0;

	bpf_for_each (scx_dsq, p, WAITING, 0) {
		if (++seen > WINDOW)
			break;
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr) && worth(p, now) >= best &&
		    scx_bpf_dsq_move(&___it, p, SCX_DSQ_LOCAL, 0))
			return;
	}
	/* Somebody took it first, or the window holds only tasks of other CPUs. */
	scx_bpf_dsq_move_to_local(WAITING);
}

s32 SEC("struct_ops.s/init") BPF_PROG(worth_init)
{
	return scx_bpf_create_dsq(WAITING, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops worth_ops = {
	.enqueue = (void *)worth_enqueue,
	.dispatch = (void *)worth_dispatch,
	.init = (void *)worth_init,
	.name = "picks_by_worth",
};
