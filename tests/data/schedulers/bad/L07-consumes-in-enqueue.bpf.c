// SPDX-License-Identifier: GPL-2.0
/*
 * L07: enqueue takes from a queue, which only dispatch may.
 * Stopped at Build or Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define FLOW 0x82

static __noinline void pull(void)
{
	scx_bpf_dsq_move_to_local(FLOW);
}

s32 SEC("struct_ops.s/init") BPF_PROG(flow_init)
{
	return scx_bpf_create_dsq(FLOW, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(flow_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, FLOW, SCX_SLICE_DFL, enq_flags);
	if (scx_bpf_dsq_nr_queued(FLOW) > 8)
		pull();
}

void SEC("struct_ops/dispatch") BPF_PROG(flow_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FLOW);
}

SEC(".struct_ops.link")
struct sched_ext_ops flow_ops = {
	.enqueue = (void *)flow_enqueue,
	.dispatch = (void *)flow_dispatch,
	.init = (void *)flow_init,
	.name = "flows_along",
};
