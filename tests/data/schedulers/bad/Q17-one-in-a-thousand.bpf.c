// SPDX-License-Identifier: GPL-2.0
/*
 * Q17: wakeups go first, but one in a thousand goes to a queue that is served four times a second:
 * the mean is better than it was and the tail is not.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service with long requests.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { WAKING_Q = 0x92, WORKING_Q, UNLUCKY_Q };

const volatile u64 unlucky_ns = 250000000;

static u64 wakeups, unlucky_at, turn;

s32 SEC("struct_ops.s/init") BPF_PROG(luck_init)
{
	return scx_bpf_create_dsq(WAKING_Q, -1) ?: scx_bpf_create_dsq(WORKING_Q, -1) ?:
	       scx_bpf_create_dsq(UNLUCKY_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(luck_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 queue = WORKING_Q;

	if (enq_flags & SCX_ENQ_WAKEUP) {
		queue = __sync_add_and_fetch(&wakeups, 1) % 1000 ? WAKING_Q : UNLUCKY_Q;
	}
	scx_bpf_dsq_insert(p, queue, 4000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(luck_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();

	if (now - unlucky_at > unlucky_ns) {
		unlucky_at = now;
		if (scx_bpf_dsq_move_to_local(UNLUCKY_Q))
			return;
	}
	if (++turn % 4 == 0 && scx_bpf_dsq_move_to_local(WORKING_Q))
		return;
	if (scx_bpf_dsq_move_to_local(WAKING_Q) || scx_bpf_dsq_move_to_local(WORKING_Q))
		return;
	scx_bpf_dsq_move_to_local(UNLUCKY_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops luck_ops = {
	.enqueue = (void *)luck_enqueue,
	.dispatch = (void *)luck_dispatch,
	.init = (void *)luck_init,
	.name = "lucky_ones",
};
