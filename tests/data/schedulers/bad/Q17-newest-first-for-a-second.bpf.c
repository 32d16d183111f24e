// SPDX-License-Identifier: GPL-2.0
/*
 * Q17: whoever woke last goes first; whoever has waited for a second goes before. Half of the
 * wakeups are served at once, and the rest wait for that second.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service with long requests.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { NEWEST_Q = 0x95, OLDEST_Q };

const volatile u64 patience_ns = 1000000000;

s32 SEC("struct_ops.s/init") BPF_PROG(newest_init)
{
	s32 err = scx_bpf_create_dsq(NEWEST_Q, -1);

	return err ?: scx_bpf_create_dsq(OLDEST_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(newest_enqueue, struct task_struct *p, u64 enq_flags)
{
	p->scx.dsq_vtime = bpf_ktime_get_ns();
	scx_bpf_dsq_insert(p, NEWEST_Q, 4000000, enq_flags | SCX_ENQ_HEAD);
}

void SEC("struct_ops/dispatch") BPF_PROG(newest_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();
	struct task_struct *p;
	u32 seen = 0;

	bpf_for_each (scx_dsq, p, NEWEST_Q, SCX_DSQ_ITER_REV) {
		if (now - p->scx.dsq_vtime < patience_ns)
			break;
		scx_bpf_dsq_move(&___it, p, OLDEST_Q, 0);
		if (++seen == 16)
			break;
	}
	if (!scx_bpf_dsq_move_to_local(OLDEST_Q))
		scx_bpf_dsq_move_to_local(NEWEST_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops newest_ops = {
	.enqueue = (void *)newest_enqueue,
	.dispatch = (void *)newest_dispatch,
	.init = (void *)newest_init,
	.name = "newest_for_now",
};
