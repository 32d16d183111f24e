// SPDX-License-Identifier: GPL-2.0
/*
 * Counts idle CPUs itself, beside the kernel's own book, which it keeps: slices are long while some
 * CPU is idle and short when all are busy.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define COUNTED_Q 0xd01

static s64 nr_idle;

static u64 slice(void)
{
	return nr_idle > 0 ? 20000000 : 5000000;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(counts_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice(), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(counts_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, COUNTED_Q, slice(), enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(counts_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(COUNTED_Q);
}

void SEC("struct_ops/update_idle") BPF_PROG(counts_update_idle, s32 cpu, bool idle)
{
	__sync_fetch_and_add(&nr_idle, idle ? 1 : -1);
}

s32 SEC("struct_ops.s/init") BPF_PROG(counts_init)
{
	return scx_bpf_create_dsq(COUNTED_Q, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops counts_ops = {
	.select_cpu = (void *)counts_select_cpu,
	.enqueue = (void *)counts_enqueue,
	.dispatch = (void *)counts_dispatch,
	.update_idle = (void *)counts_update_idle,
	.init = (void *)counts_init,
	.flags = SCX_OPS_KEEP_BUILTIN_IDLE,
	.name = "counts_idle_cpus",
};
