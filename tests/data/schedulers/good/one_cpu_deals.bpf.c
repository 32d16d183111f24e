// SPDX-License-Identifier: GPL-2.0
/*
 * One CPU deals: whenever it looks for work, it first hands a task to each idle CPU, out of the one
 * pile in which all tasks wait in order of arrival. A CPU plays its hand, and when it has none, it
 * draws from the pile itself. A hand that is still there at the next deal (a real-time task took
 * that CPU) is played by the dealer.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PILE 0x1
#define HAND 0x4000

const volatile s32 dealer_cpu = 0;

enum { LOOK_TASKS = 16 };

/* Whom may this CPU run? The first of those who wait longest. */
static void deal_to(s32 cpu)
{
	struct task_struct *p;
	u32 seen = 0;

	bpf_for_each (scx_dsq, p, PILE, 0) {
		if (++seen > LOOK_TASKS)
			break;
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			continue;
		if (scx_bpf_dsq_move(&___it, p, HAND + cpu, 0))
			break;
	}
	/* It was idle, and it is to look again whether it got anything or not. */
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(dealer_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(dealer_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, PILE, 6000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(dealer_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 other, left = cpu;

	if (cpu == dealer_cpu) {
		bpf_for (other, 0, scx_bpf_nr_cpu_ids()) {
			if (scx_bpf_dsq_nr_queued(HAND + other) > 0)
				left = other;
			else if (scx_bpf_test_and_clear_cpu_idle(other))
				deal_to(other);
		}
	}
	if (left != cpu && scx_bpf_dsq_move_to_local(HAND + left))
		return;
	if (!scx_bpf_dsq_move_to_local(HAND + cpu))
		scx_bpf_dsq_move_to_local(PILE);
}

s32 SEC("struct_ops.s/init") BPF_PROG(dealer_init)
{
	s32 cpu, err = scx_bpf_create_dsq(PILE, -1);

	if (err)
		return err;
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(HAND + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops dealer_ops = {
	.select_cpu = (void *)dealer_select_cpu,
	.enqueue = (void *)dealer_enqueue,
	.dispatch = (void *)dealer_dispatch,
	.init = (void *)dealer_init,
	.name = "one_cpu_deals",
};
