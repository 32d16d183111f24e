// SPDX-License-Identifier: GPL-2.0
/*
 * Q13: says good-bye after 20 s, and whoever measures it measures the kernel's own scheduler.
 * Stopped at Bytecode or Dynamic or Replay: kind 65. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BRIEF_Q 0x8a

static u64 came_at;
static char bye[] = "done";

s32 SEC("struct_ops.s/init") BPF_PROG(leaves_init)
{
	came_at = bpf_ktime_get_ns();
	return scx_bpf_create_dsq(BRIEF_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(leaves_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, BRIEF_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(leaves_dispatch, s32 cpu, struct task_struct *prev)
{
	if (bpf_ktime_get_ns() - came_at > 20000000000ULL)
		scx_bpf_exit_bstr(0, bye, (unsigned long long[]){0}, sizeof(u64));
	scx_bpf_dsq_move_to_local(BRIEF_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops leaves_ops = {
	.enqueue = (void *)leaves_enqueue,
	.dispatch = (void *)leaves_dispatch,
	.init = (void *)leaves_init,
	.name = "brief_visit",
};
