// SPDX-License-Identifier: GPL-2.0
/*
 * L12: init returns how many queues it made, which is no error and no success.
 * Stopped at Bytecode or Attach.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LANES 0x50

s32 SEC("struct_ops.s/init") BPF_PROG(lanes_init)
{
	s32 lane, made = 0;

	bpf_for (lane, 0, 4) {
		if (!scx_bpf_create_dsq(LANES + lane, -1))
			made++;
	}
	return made;
}

void SEC("struct_ops/enqueue") BPF_PROG(lanes_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, LANES + (p->pid & 3), SCX_SLICE_DFL, enq_flags);
}

static u64 turn;

void SEC("struct_ops/dispatch") BPF_PROG(lanes_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 first = __sync_fetch_and_add(&turn, 1), lane;

	bpf_for (lane, 0, 4) {
		if (scx_bpf_dsq_move_to_local(LANES + ((first + lane) & 3)))
			return;
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops lanes_ops = {
	.enqueue = (void *)lanes_enqueue,
	.dispatch = (void *)lanes_dispatch,
	.init = (void *)lanes_init,
	.name = "four_lanes",
};
