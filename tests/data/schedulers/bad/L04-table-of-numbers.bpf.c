// SPDX-License-Identifier: GPL-2.0
/*
 * L04: a table of 64 entries, and the index is a task's number.
 * Stopped at Build or Bytecode: the kernel's verifier refuses it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TABLED 0x12

static u64 served[64];

s32 SEC("struct_ops.s/init") BPF_PROG(table_init)
{
	return scx_bpf_create_dsq(TABLED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(table_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, TABLED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(table_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TABLED);
}

void SEC("struct_ops/running") BPF_PROG(table_running, struct task_struct *p)
{
	served[p->pid] += 1;
}

SEC(".struct_ops.link")
struct sched_ext_ops table_ops = {
	.enqueue = (void *)table_enqueue,
	.dispatch = (void *)table_dispatch,
	.running = (void *)table_running,
	.init = (void *)table_init,
	.name = "table_of_served",
};
