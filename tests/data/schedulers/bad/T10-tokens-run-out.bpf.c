// SPDX-License-Identifier: GPL-2.0
/*
 * T10: light tasks need a token of which there are a thousand, and only sleeping gives one back.
 * When light hogs have used them up, no light task runs again.
 * Stopped at Bytecode or Dynamic: after a thousand slices of light hogs.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { PAID_Q = 0x3a4, WAITING_Q };

static s64 tokens = 1000;

s32 SEC("struct_ops.s/init") BPF_PROG(tokens_init)
{
	s32 err = scx_bpf_create_dsq(PAID_Q, -1);

	return err ?: scx_bpf_create_dsq(WAITING_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(tokens_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? WAITING_Q : PAID_Q, 4000000, enq_flags);
}

static u32 turn;

void SEC("struct_ops/dispatch") BPF_PROG(tokens_dispatch, s32 cpu, struct task_struct *prev)
{
	if (++turn % 4 == 0 && tokens > 0 && scx_bpf_dsq_move_to_local(WAITING_Q)) {
		__sync_fetch_and_sub(&tokens, 1);
		return;
	}
	if (scx_bpf_dsq_move_to_local(PAID_Q))
		return;
	if (tokens > 0 && scx_bpf_dsq_move_to_local(WAITING_Q))
		__sync_fetch_and_sub(&tokens, 1);
}

void SEC("struct_ops/quiescent") BPF_PROG(tokens_quiescent, struct task_struct *p, u64 deq_flags)
{
	if ((deq_flags & SCX_DEQ_SLEEP) && p->scx.weight < 100 && tokens < 1000)
		__sync_fetch_and_add(&tokens, 1);
}

SEC(".struct_ops.link")
struct sched_ext_ops tokens_ops = {
	.enqueue = (void *)tokens_enqueue,
	.dispatch = (void *)tokens_dispatch,
	.quiescent = (void *)tokens_quiescent,
	.init = (void *)tokens_init,
	.name = "tokens_for_light",
};
