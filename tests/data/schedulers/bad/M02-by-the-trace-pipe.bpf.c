// SPDX-License-Identifier: GPL-2.0
/*
 * M02: prints words of a task's stack to the trace pipe, as if to find an error.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x2b

s32 SEC("struct_ops.s/init") BPF_PROG(debug_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(debug_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(debug_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

void SEC("struct_ops/quiescent") BPF_PROG(debug_quiescent, struct task_struct *p, u64 deq_flags)
{
	u64 word = 0;

	if (!bpf_probe_read_kernel(&word, sizeof(word), (void *)p->thread.sp))
		bpf_printk("%d left with %llx", p->pid, word);
}

SEC(".struct_ops.link")
struct sched_ext_ops debug_ops = {
	.enqueue = (void *)debug_enqueue,
	.dispatch = (void *)debug_dispatch,
	.quiescent = (void *)debug_quiescent,
	.init = (void *)debug_init,
	.name = "debugging",
};
