// SPDX-License-Identifier: GPL-2.0
/*
 * T12: healthy for fifteen minutes, and then light tasks are not taken out any more.
 * Stopped at Bytecode or Dynamic: no soak on real time is that long.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { DAY_Q = 0x5c0, NIGHT_Q };

static u64 begun;

s32 SEC("struct_ops.s/init") BPF_PROG(clockwork_init)
{
	begun = bpf_ktime_get_ns();
	return scx_bpf_create_dsq(DAY_Q, -1) ?: scx_bpf_create_dsq(NIGHT_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(clockwork_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? NIGHT_Q : DAY_Q, SCX_SLICE_DFL, enq_flags);
}

static u32 rounds;

void SEC("struct_ops/dispatch") BPF_PROG(clockwork_dispatch, s32 cpu, struct task_struct *prev)
{
	bool early = bpf_ktime_get_ns() - begun < 900000000000ULL;

	if (early && (++rounds & 1) && scx_bpf_dsq_move_to_local(NIGHT_Q))
		return;
	if (!scx_bpf_dsq_move_to_local(DAY_Q) && early)
		scx_bpf_dsq_move_to_local(NIGHT_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops clockwork_ops = {
	.enqueue = (void *)clockwork_enqueue,
	.dispatch = (void *)clockwork_dispatch,
	.init = (void *)clockwork_init,
	.name = "day_and_night",
};
