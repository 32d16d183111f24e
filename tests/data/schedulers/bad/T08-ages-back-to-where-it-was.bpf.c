// SPDX-License-Identifier: GPL-2.0
/*
 * T08: whoever has waited too long is moved on, to the end of the very queue that it waits in.
 * Stopped at Bytecode or Dynamic: as long as the first queue is not empty.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { QUICK_Q = 0x1d9, SLOW_Q };

s32 SEC("struct_ops.s/init") BPF_PROG(circle_init)
{
	s32 err = scx_bpf_create_dsq(QUICK_Q, -1);

	return err ?: scx_bpf_create_dsq(SLOW_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(circle_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool quick = (enq_flags & SCX_ENQ_WAKEUP) || p->scx.weight > 100;

	p->scx.dsq_vtime = bpf_ktime_get_ns();
	scx_bpf_dsq_insert(p, quick ? QUICK_Q : SLOW_Q, 5000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(circle_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();
	struct task_struct *p;

	bpf_for_each (scx_dsq, p, SLOW_Q, 0) {
		if (now - p->scx.dsq_vtime > 200000000)
			scx_bpf_dsq_move(&___it, p, SLOW_Q, 0);
		break;
	}
	if (!scx_bpf_dsq_move_to_local(QUICK_Q))
		scx_bpf_dsq_move_to_local(SLOW_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops circle_ops = {
	.enqueue = (void *)circle_enqueue,
	.dispatch = (void *)circle_dispatch,
	.init = (void *)circle_init,
	.name = "in_a_circle",
};
