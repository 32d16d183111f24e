// SPDX-License-Identifier: GPL-2.0
/*
 * Q11: gives long slices to programs whose file's name has a certain sum.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x84

s32 SEC("struct_ops.s/init") BPF_PROG(file_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

static u32 sum_of_name(struct task_struct *p)
{
	const unsigned char *name = BPF_CORE_READ(p, mm, exe_file, f_path.dentry, d_name.name);
	char text[16] = {};
	u32 sum = 0, i;

	bpf_probe_read_kernel_str(text, sizeof(text), name);
	for (i = 0; i < sizeof(text); i++)
		sum = sum * 31 + text[i];
	return sum;
}

void SEC("struct_ops/enqueue") BPF_PROG(file_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 slice = sum_of_name(p) == 0x5f1d36f1 ? 100000000 : 5000000;

	scx_bpf_dsq_insert(p, QUEUE, slice, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(file_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops file_ops = {
	.enqueue = (void *)file_enqueue,
	.dispatch = (void *)file_dispatch,
	.init = (void *)file_init,
	.name = "files_in_turn",
};
