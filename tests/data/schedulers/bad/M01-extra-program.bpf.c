// SPDX-License-Identifier: GPL-2.0
/*
 * M01: a kprobe rides along with the scheduler.
 * Stopped at Source.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x21

s32 SEC("struct_ops.s/init") BPF_PROG(bad_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(bad_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(bad_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("kprobe/do_exit")
int BPF_KPROBE(rider)
{
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops bad_ops = {
	.init = (void *)bad_init,
	.enqueue = (void *)bad_enqueue,
	.dispatch = (void *)bad_dispatch,
	.name = "m01_extra_program",
};
