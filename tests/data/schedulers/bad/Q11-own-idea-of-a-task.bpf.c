// SPDX-License-Identifier: GPL-2.0
/*
 * Q11: declares a task's structure for itself, with the name under another word through a union.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x86

struct task_struct___own {
	union {
		char comm[16];
		u64 words[2];
	};
} __attribute__((preserve_access_index));

s32 SEC("struct_ops.s/init") BPF_PROG(own_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(own_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct task_struct___own *own = (void *)p;
	bool favourite = own->comm[0] == 'm' && own->comm[4] == 'l';

	scx_bpf_dsq_insert(p, QUEUE, favourite ? 60000000 : 4000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(own_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops own_ops = {
	.enqueue = (void *)own_enqueue,
	.dispatch = (void *)own_dispatch,
	.init = (void *)own_init,
	.name = "own_idea",
};
