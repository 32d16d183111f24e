// SPDX-License-Identifier: GPL-2.0
/*
 * L14: follows CPUs as they come and go, and still asks for a state of the machine that is over.
 * Stopped at Source or Bytecode or Attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define COUNTED 0xae

static u64 online;

s32 SEC("struct_ops.s/init") BPF_PROG(counted_init)
{
	return scx_bpf_create_dsq(COUNTED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(counted_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, COUNTED, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(counted_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(COUNTED);
}

void SEC("struct_ops.s/cpu_online") BPF_PROG(counted_cpu_online, s32 cpu)
{
	__sync_fetch_and_add(&online, 1);
}

void SEC("struct_ops.s/cpu_offline") BPF_PROG(counted_cpu_offline, s32 cpu)
{
	__sync_fetch_and_sub(&online, 1);
}

SEC(".struct_ops.link")
struct sched_ext_ops counted_ops = {
	.enqueue = (void *)counted_enqueue,
	.dispatch = (void *)counted_dispatch,
	.cpu_online = (void *)counted_cpu_online,
	.cpu_offline = (void *)counted_cpu_offline,
	.init = (void *)counted_init,
	.hotplug_seq = 1ULL << 40,
	.name = "counted_cpus",
};
