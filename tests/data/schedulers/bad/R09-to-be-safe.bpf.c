// SPDX-License-Identifier: GPL-2.0
/*
 * R09: inserts the waking task a second time, into the common queue, to be safe.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SAFE 0x8c

s32 SEC("struct_ops.s/init") BPF_PROG(safe_init)
{
	return scx_bpf_create_dsq(SAFE, -1);
}

static void offer(struct task_struct *p, u64 dsq_id)
{
	scx_bpf_dsq_insert(p, dsq_id, 10000000, 0);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(safe_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu < 0)
		return prev_cpu;
	offer(p, SCX_DSQ_LOCAL);
	offer(p, SAFE);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(safe_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SAFE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(safe_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(SAFE);
}

SEC(".struct_ops.link")
struct sched_ext_ops safe_ops = {
	.select_cpu = (void *)safe_select_cpu,
	.enqueue = (void *)safe_enqueue,
	.dispatch = (void *)safe_dispatch,
	.init = (void *)safe_init,
	.name = "on_the_safe_side",
};
