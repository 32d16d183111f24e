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

s32 SEC("struct_ops.s/init") BPF_PROG(guest_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(guest_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(guest_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC("kprobe/do_exit")
int BPF_KPROBE(rider)
{
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops guest_ops = {
	.enqueue = (void *)guest_enqueue,
	.dispatch = (void *)guest_dispatch,
	.init = (void *)guest_init,
	.name = "with_a_guest",
};
