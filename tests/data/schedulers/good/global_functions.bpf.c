// SPDX-License-Identifier: GPL-2.0
/*
 * The same bounded virtual time as others, cut into functions that the kernel checks one by one:
 * where a task is put, how long it may run and what it pays are each in one of their own.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PAYERS 0x2f

static u64 clock_now;

__noinline u64 slice_for(u32 weight)
{
	return weight < 100 ? 4000000 : 8000000;
}

__noinline u64 price_of(u64 used, u32 weight)
{
	if (!weight)
		weight = 1;
	return used * 100 / weight;
}

__noinline u64 bounded_order(u64 vtime, u64 now)
{
	if ((s64)(now - 8000000 - vtime) > 0)
		return now - 8000000;
	if ((s64)(vtime - now - 30000000) > 0)
		return now + 30000000;
	return vtime;
}

__noinline int wake_somebody(struct task_struct *p __arg_trusted)
{
	s32 idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
	return idle;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(cut_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_for(p->scx.weight), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(cut_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 slice_ns = slice_for(p->scx.weight);

	scx_bpf_dsq_insert_vtime(p, PAYERS, slice_ns, bounded_order(p->scx.dsq_vtime, clock_now),
				 enq_flags);
	wake_somebody(p);
}

void SEC("struct_ops/dispatch") BPF_PROG(cut_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(PAYERS);
}

void SEC("struct_ops/running") BPF_PROG(cut_running, struct task_struct *p)
{
	if ((s64)(p->scx.dsq_vtime - clock_now) > 0)
		clock_now = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(cut_stopping, struct task_struct *p, bool runnable)
{
	u64 slice_ns = slice_for(p->scx.weight);

	if (p->scx.slice < slice_ns)
		p->scx.dsq_vtime += price_of(slice_ns - p->scx.slice, p->scx.weight);
}

void SEC("struct_ops/enable") BPF_PROG(cut_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = clock_now;
}

s32 SEC("struct_ops.s/init") BPF_PROG(cut_init)
{
	return scx_bpf_create_dsq(PAYERS, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops cut_ops = {
	.select_cpu = (void *)cut_select_cpu,
	.enqueue = (void *)cut_enqueue,
	.dispatch = (void *)cut_dispatch,
	.running = (void *)cut_running,
	.stopping = (void *)cut_stopping,
	.enable = (void *)cut_enable,
	.init = (void *)cut_init,
	.timeout_ms = 10000,
	.name = "global_functions",
};
