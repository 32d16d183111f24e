// SPDX-License-Identifier: GPL-2.0
/*
 * Wakers go to the local queue of an idle CPU. When a real-time task takes that CPU first, they are
 * taken back and wait where every CPU finds them.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OPEN_Q 0xd08

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(taken_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(taken_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, OPEN_Q, SCX_SLICE_DFL, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(taken_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(OPEN_Q);
}

void SEC("struct_ops/cpu_release")
	BPF_PROG(taken_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	scx_bpf_reenqueue_local();
}

s32 SEC("struct_ops.s/init") BPF_PROG(taken_init)
{
	return scx_bpf_create_dsq(OPEN_Q, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops taken_ops = {
	.select_cpu = (void *)taken_select_cpu,
	.enqueue = (void *)taken_enqueue,
	.dispatch = (void *)taken_dispatch,
	.cpu_release = (void *)taken_cpu_release,
	.init = (void *)taken_init,
	.name = "taken_back",
};
