// SPDX-License-Identifier: GPL-2.0
/*
 * R13: counts idle CPUs itself, and only when ten tasks wait asks the kernel for one that is idle.
 * Stopped at Bytecode or Dynamic: when ten tasks wait.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CROWD 0xc2

static s64 nr_idle;

s32 SEC("struct_ops.s/init") BPF_PROG(crowd_init)
{
	return scx_bpf_create_dsq(CROWD, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(crowd_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(crowd_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, CROWD, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	if (nr_idle > 0 && scx_bpf_dsq_nr_queued(CROWD) > 10) {
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		if (cpu >= 0)
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}
}

void SEC("struct_ops/dispatch") BPF_PROG(crowd_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(CROWD);
}

void SEC("struct_ops/update_idle") BPF_PROG(crowd_update_idle, s32 cpu, bool idle)
{
	__sync_fetch_and_add(&nr_idle, idle ? 1 : -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops crowd_ops = {
	.select_cpu = (void *)crowd_select_cpu,
	.enqueue = (void *)crowd_enqueue,
	.dispatch = (void *)crowd_dispatch,
	.update_idle = (void *)crowd_update_idle,
	.init = (void *)crowd_init,
	.name = "asks_when_crowded",
};
