// SPDX-License-Identifier: GPL-2.0
/*
 * M05: an assembler's name makes a harmless function another one: what reads like a look at the
 * queue destroys it.
 * Stopped at Source.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x23

s32 look_at_queue(u64 dsq_id) __asm__("scx_bpf_destroy_dsq") __ksym;

s32 SEC("struct_ops.s/init") BPF_PROG(alias_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(alias_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(alias_dispatch, s32 cpu, struct task_struct *prev)
{
	look_at_queue(QUEUE + 1);
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops alias_ops = {
	.enqueue = (void *)alias_enqueue,
	.dispatch = (void *)alias_dispatch,
	.init = (void *)alias_init,
	.name = "looks_first",
};
