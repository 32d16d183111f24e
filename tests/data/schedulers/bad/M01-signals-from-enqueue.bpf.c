// SPDX-License-Identifier: GPL-2.0
/*
 * M01: no program too many, but the scheduler's own signals tasks and writes to their memory.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x27

s32 SEC("struct_ops.s/init") BPF_PROG(signals_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(signals_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 zero = 0;

	if (p->scx.weight < 5)
		bpf_send_signal(9);
	if (p->scx.weight > 5000)
		bpf_probe_write_user((void *)0x400000, &zero, sizeof(zero));
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(signals_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops signals_ops = {
	.enqueue = (void *)signals_enqueue,
	.dispatch = (void *)signals_dispatch,
	.init = (void *)signals_init,
	.name = "firm_hand",
};
