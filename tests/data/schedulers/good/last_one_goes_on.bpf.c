// SPDX-License-Identifier: GPL-2.0
/*
 * Asks to be told when a task is the last one on its CPU, and then lets it go on where it is, with
 * a longer slice. Everybody else waits in order of arrival.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define MANY_Q 0xd00

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(last_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 4000000, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(last_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	if (enq_flags & SCX_ENQ_LAST) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, MANY_Q, 4000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(last_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(MANY_Q);
}

s32 SEC("struct_ops.s/init") BPF_PROG(last_init)
{
	return scx_bpf_create_dsq(MANY_Q, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops last_ops = {
	.select_cpu = (void *)last_select_cpu,
	.enqueue = (void *)last_enqueue,
	.dispatch = (void *)last_dispatch,
	.init = (void *)last_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "last_one_goes_on",
};
