// SPDX-License-Identifier: GPL-2.0
/*
 * R15: treats a CPU that goes offline as an error of its own.
 * Stopped at Bytecode or Dynamic: when a CPU goes offline.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WHOLE 0xd4

static char lost[] = "CPU %d is gone";

s32 SEC("struct_ops.s/init") BPF_PROG(whole_init)
{
	return scx_bpf_create_dsq(WHOLE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(whole_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, WHOLE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(whole_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WHOLE);
}

void SEC("struct_ops.s/cpu_online") BPF_PROG(whole_cpu_online, s32 cpu)
{
}

void SEC("struct_ops.s/cpu_offline") BPF_PROG(whole_cpu_offline, s32 cpu)
{
	scx_bpf_error_bstr(lost, (unsigned long long[]){cpu}, sizeof(u64));
}

SEC(".struct_ops.link")
struct sched_ext_ops whole_ops = {
	.enqueue = (void *)whole_enqueue,
	.dispatch = (void *)whole_dispatch,
	.cpu_online = (void *)whole_cpu_online,
	.cpu_offline = (void *)whole_cpu_offline,
	.init = (void *)whole_init,
	.name = "whole_machine",
};
