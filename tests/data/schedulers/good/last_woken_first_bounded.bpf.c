// SPDX-License-Identifier: GPL-2.0
/*
 * Who woke last runs first, because its memory is still in the cache, but only among wakeups of the
 * same `round_ns`: rounds are served in order, so that being first never lasts. The order counts
 * down within a round and up from one round to the next.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BY_ROUND 0x81

const volatile u64 round_ns = 100000000;

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(rounds_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5000000, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(rounds_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 now = bpf_ktime_get_ns(), round = now / (round_ns ?: 1);
	u64 into = now - round * round_ns;
	s32 idle;

	scx_bpf_dsq_insert_vtime(p, BY_ROUND, 5000000, (round + 1) * round_ns - into, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(rounds_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BY_ROUND);
}

s32 SEC("struct_ops.s/init") BPF_PROG(rounds_init)
{
	return scx_bpf_create_dsq(BY_ROUND, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops rounds_ops = {
	.select_cpu = (void *)rounds_select_cpu,
	.enqueue = (void *)rounds_enqueue,
	.dispatch = (void *)rounds_dispatch,
	.init = (void *)rounds_init,
	.name = "last_woken_bounded",
};
