// SPDX-License-Identifier: GPL-2.0
/*
 * M05: takes a file in, by a directive in other letters, which the compiler reads as well.
 * Stopped at Source.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x22

const char taken_in[] = {
%:embed "/etc/hostname"
};

s32 SEC("struct_ops.s/init") BPF_PROG(letters_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(letters_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(letters_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops letters_ops = {
	.enqueue = (void *)letters_enqueue,
	.dispatch = (void *)letters_dispatch,
	.init = (void *)letters_init,
	.name = "other_letters",
};
