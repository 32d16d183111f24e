// SPDX-License-Identifier: GPL-2.0
/*
 * L12: init gives up on machines with fewer than 48 CPUs, with a number that is no error code.
 * Stopped at Bytecode or Attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BIG 0x51

s32 SEC("struct_ops.s/init") BPF_PROG(big_init)
{
	if (scx_bpf_nr_cpu_ids() < 48)
		return -70000;
	return scx_bpf_create_dsq(BIG, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(big_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, BIG, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(big_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BIG);
}

SEC(".struct_ops.link")
struct sched_ext_ops big_ops = {
	.enqueue = (void *)big_enqueue,
	.dispatch = (void *)big_dispatch,
	.init = (void *)big_init,
	.name = "for_big_machines",
};
