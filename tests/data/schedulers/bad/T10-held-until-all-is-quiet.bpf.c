// SPDX-License-Identifier: GPL-2.0
/*
 * T10: who used more than 40 ms since it woke is held back until nobody else wants to run.
 * Stopped at Bytecode or Dynamic: on a machine that is busy for long, whoever works much starves.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { OPEN_Q = 0x3a0, HELD_Q };

struct use {
	u64 began_at;
	u64 ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct use);
} uses SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(holding_init)
{
	s32 err = scx_bpf_create_dsq(OPEN_Q, -1);

	return err ?: scx_bpf_create_dsq(HELD_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(holding_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct use *use = bpf_task_storage_get(&uses, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool over = use && use->ns > 40000000;

	scx_bpf_dsq_insert(p, over ? HELD_Q : OPEN_Q, 5000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(holding_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!scx_bpf_dsq_move_to_local(OPEN_Q))
		scx_bpf_dsq_move_to_local(HELD_Q);
}

void SEC("struct_ops/running") BPF_PROG(holding_running, struct task_struct *p)
{
	struct use *use = bpf_task_storage_get(&uses, p, 0, 0);

	if (use)
		use->began_at = bpf_ktime_get_ns();
}

void SEC("struct_ops/stopping") BPF_PROG(holding_stopping, struct task_struct *p, bool runnable)
{
	struct use *use = bpf_task_storage_get(&uses, p, 0, 0);

	if (use)
		use->ns += bpf_ktime_get_ns() - use->began_at;
}

void SEC("struct_ops/quiescent") BPF_PROG(holding_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct use *use = bpf_task_storage_get(&uses, p, 0, 0);

	if (use && (deq_flags & SCX_DEQ_SLEEP))
		use->ns = 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops holding_ops = {
	.enqueue = (void *)holding_enqueue,
	.dispatch = (void *)holding_dispatch,
	.running = (void *)holding_running,
	.stopping = (void *)holding_stopping,
	.quiescent = (void *)holding_quiescent,
	.init = (void *)holding_init,
	.name = "holds_back",
};
