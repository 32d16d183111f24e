// SPDX-License-Identifier: GPL-2.0
/*
 * M03: a program that makes system calls for BPF and pins what it is told to.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x2d

s32 SEC("struct_ops.s/init") BPF_PROG(pinner_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(pinner_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(pinner_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

struct pin_me {
	u64 path;
	u32 fd;
	u32 flags;
};

SEC("syscall")
int pinner_main(struct pin_me *arguments)
{
	union bpf_attr attr = {};

	attr.pathname = arguments->path;
	attr.bpf_fd = arguments->fd;
	return bpf_sys_bpf(BPF_OBJ_PIN, &attr, sizeof(attr));
}

SEC(".struct_ops.link")
struct sched_ext_ops pinner_ops = {
	.enqueue = (void *)pinner_enqueue,
	.dispatch = (void *)pinner_dispatch,
	.init = (void *)pinner_init,
	.name = "pins_itself",
};
