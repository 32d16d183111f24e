// SPDX-License-Identifier: GPL-2.0
/*
 * T08: there is ageing, but it is looked at only when the first queue is empty, and then nobody
 * needs it.
 * Stopped at Bytecode or Dynamic: as long as the first queue is not empty.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { FRONT_Q = 0x1d5, BACK_Q, AGED_Q };

s32 SEC("struct_ops.s/init") BPF_PROG(aged_init)
{
	return scx_bpf_create_dsq(FRONT_Q, -1) ?: scx_bpf_create_dsq(BACK_Q, -1) ?:
	       scx_bpf_create_dsq(AGED_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(aged_enqueue, struct task_struct *p, u64 enq_flags)
{
	p->scx.dsq_vtime = bpf_ktime_get_ns();
	scx_bpf_dsq_insert(p, p->static_prio <= 120 ? FRONT_Q : BACK_Q, 5000000, enq_flags);
}

static void age(u64 now)
{
	struct task_struct *p;
	u32 seen = 0;

	bpf_for_each (scx_dsq, p, BACK_Q, 0) {
		if (now - p->scx.dsq_vtime > 100000000)
			scx_bpf_dsq_move(&___it, p, AGED_Q, 0);
		if (++seen == 16)
			break;
	}
}

void SEC("struct_ops/dispatch") BPF_PROG(aged_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_move_to_local(FRONT_Q))
		return;
	age(bpf_ktime_get_ns());
	if (!scx_bpf_dsq_move_to_local(AGED_Q))
		scx_bpf_dsq_move_to_local(BACK_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops aged_ops = {
	.enqueue = (void *)aged_enqueue,
	.dispatch = (void *)aged_dispatch,
	.init = (void *)aged_init,
	.name = "ages_well",
};
