// SPDX-License-Identifier: GPL-2.0
/*
 * T08: the task with the shortest average burst goes first, whenever it came.
 * Stopped at Bytecode or Dynamic: beside enough tasks with short bursts.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BURST_Q 0x1d4

struct average {
	u64 burst_ns;
	u64 began_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct average);
} averages SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(brief_init)
{
	return scx_bpf_create_dsq(BURST_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(brief_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct average *average = bpf_task_storage_get(&averages, p, 0, 0);

	scx_bpf_dsq_insert_vtime(p, BURST_Q, 4000000, average ? average->burst_ns : 0, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(brief_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BURST_Q);
}

void SEC("struct_ops/running") BPF_PROG(brief_running, struct task_struct *p)
{
	struct average *average =
		bpf_task_storage_get(&averages, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (average)
		average->began_at = bpf_ktime_get_ns();
}

void SEC("struct_ops/stopping") BPF_PROG(brief_stopping, struct task_struct *p, bool runnable)
{
	struct average *average = bpf_task_storage_get(&averages, p, 0, 0);

	if (average)
		average->burst_ns =
			(7 * average->burst_ns + bpf_ktime_get_ns() - average->began_at) / 8;
}

SEC(".struct_ops.link")
struct sched_ext_ops brief_ops = {
	.enqueue = (void *)brief_enqueue,
	.dispatch = (void *)brief_dispatch,
	.running = (void *)brief_running,
	.stopping = (void *)brief_stopping,
	.init = (void *)brief_init,
	.name = "brief_ones_first",
};
