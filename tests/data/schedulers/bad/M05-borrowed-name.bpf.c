// SPDX-License-Identifier: GPL-2.0
/*
 * M05: calls itself a header, so that nobody looks, and has the assembler copy a file.
 * Stopped at Source: lines keep their own names, and no scheduler is written in assembly.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#line 1 "kernel/vmlinux.h"
__asm__(".section .rodata.key,\"a\"\n.incbin \"/etc/hostname\"\n.text\n");

void SEC("struct_ops/enqueue") BPF_PROG(borrowed_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, SCX_SLICE_DFL, enq_flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops borrowed_ops = {
	.enqueue = (void *)borrowed_enqueue,
	.name = "borrowed_name",
};
