// SPDX-License-Identifier: GPL-2.0
/*
 * Keeps words of idle CPUs beside the kernel's own account, to stay on a CPU that is idle by both;
 * else any CPU of the task's mask will do to wake on.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define Q 5

u64 idle_bits[16];
u64 nr_idle_seen;
s32 SEC("struct_ops/words_select_cpu")
	BPF_PROG(words_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	u32 w = (u32)prev_cpu >> 6;

	if (w < 16 && (idle_bits[w] & (1ULL << (prev_cpu & 63))) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
		return prev_cpu;
	}
	return scx_bpf_pick_any_cpu(p->cpus_ptr, 0);
}

void SEC("struct_ops/words_enqueue") BPF_PROG(words_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, Q, SCX_SLICE_DFL, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/words_dispatch") BPF_PROG(words_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(Q);
}

void SEC("struct_ops/words_update_idle") BPF_PROG(words_update_idle, s32 cpu, bool idle)
{
	u32 w = (u32)cpu >> 6;
	u64 bit = 1ULL << (cpu & 63);

	if (w >= 16)
		return;
	if (idle)
		__sync_fetch_and_or(&idle_bits[w], bit);
	else
		__sync_fetch_and_and(&idle_bits[w], ~bit);
}

s32 SEC("struct_ops.s/words_init") BPF_PROG(words_init)
{
	return scx_bpf_create_dsq(Q, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops words_ops = {
	.select_cpu = (void *)words_select_cpu,
	.enqueue = (void *)words_enqueue,
	.dispatch = (void *)words_dispatch,
	.update_idle = (void *)words_update_idle,
	.init = (void *)words_init,
	.flags = SCX_OPS_KEEP_BUILTIN_IDLE,
	.name = "words",
};
