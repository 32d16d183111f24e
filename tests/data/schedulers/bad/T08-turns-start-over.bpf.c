// SPDX-License-Identifier: GPL-2.0
/*
 * T08: after ten tasks of the first queue one of the second has its turn, but the count starts over
 * with every task that wakes.
 * Stopped at Bytecode or Dynamic: beside enough tasks that sleep and wake.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { MUCH_Q = 0x1db, LITTLE_Q };

static u32 count;

s32 SEC("struct_ops.s/init") BPF_PROG(startover_init)
{
	s32 err = scx_bpf_create_dsq(MUCH_Q, -1);

	return err ?: scx_bpf_create_dsq(LITTLE_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(startover_enqueue, struct task_struct *p, u64 enq_flags)
{
	if (enq_flags & SCX_ENQ_WAKEUP)
		count = 0;
	scx_bpf_dsq_insert(p, p->scx.weight >= 100 ? MUCH_Q : LITTLE_Q, 5000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(startover_dispatch, s32 cpu, struct task_struct *prev)
{
	if (++count > 10) {
		count = 0;
		if (scx_bpf_dsq_move_to_local(LITTLE_Q))
			return;
	}
	if (!scx_bpf_dsq_move_to_local(MUCH_Q))
		scx_bpf_dsq_move_to_local(LITTLE_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops startover_ops = {
	.enqueue = (void *)startover_enqueue,
	.dispatch = (void *)startover_dispatch,
	.init = (void *)startover_init,
	.name = "turns_for_all",
};
