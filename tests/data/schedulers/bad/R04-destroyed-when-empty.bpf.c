// SPDX-License-Identifier: GPL-2.0
/*
 * R04: the queue of light tasks is taken down when it is empty and missed by the next light task.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { HEAVY_Q = 0x30, LIGHT_Q = 0x31 };

s32 SEC("struct_ops.s/init") BPF_PROG(tidy_init)
{
	s32 err = scx_bpf_create_dsq(HEAVY_Q, -1);

	return err ?: scx_bpf_create_dsq(LIGHT_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(tidy_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? LIGHT_Q : HEAVY_Q, SCX_SLICE_DFL, enq_flags);
}

static u64 turn;

void SEC("struct_ops/dispatch") BPF_PROG(tidy_dispatch, s32 cpu, struct task_struct *prev)
{
	if (++turn & 1) {
		if (scx_bpf_dsq_move_to_local(HEAVY_Q))
			return;
	}
	if (scx_bpf_dsq_nr_queued(LIGHT_Q) == 0)
		scx_bpf_destroy_dsq(LIGHT_Q);
	else if (scx_bpf_dsq_nr_queued(LIGHT_Q) > 0 && scx_bpf_dsq_move_to_local(LIGHT_Q))
		return;
	scx_bpf_dsq_move_to_local(HEAVY_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops tidy_ops = {
	.enqueue = (void *)tidy_enqueue,
	.dispatch = (void *)tidy_dispatch,
	.init = (void *)tidy_init,
	.name = "tidies_up",
};
