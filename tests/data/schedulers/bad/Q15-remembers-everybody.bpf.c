// SPDX-License-Identifier: GPL-2.0
/*
 * Q15: each task that ever was has an entry in a table, and none is taken out: after some days it
 * holds fifty megabytes of the kernel's memory.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define MEMORY_Q 0x8c

struct history {
	u64 came_at;
	u64 runs;
	u64 spare[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 500000);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u64);
	__type(value, struct history);
} histories SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(history_init)
{
	return scx_bpf_create_dsq(MEMORY_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(history_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, MEMORY_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(history_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(MEMORY_Q);
}

void SEC("struct_ops/enable") BPF_PROG(history_enable, struct task_struct *p)
{
	struct history history = {.came_at = bpf_ktime_get_ns()};
	u64 key = (u64)p->pid << 32 | (u32)p->start_time;

	bpf_map_update_elem(&histories, &key, &history, BPF_NOEXIST);
}

void SEC("struct_ops/running") BPF_PROG(history_running, struct task_struct *p)
{
	u64 key = (u64)p->pid << 32 | (u32)p->start_time;
	struct history *history = bpf_map_lookup_elem(&histories, &key);

	if (history)
		history->runs += 1;
}

SEC(".struct_ops.link")
struct sched_ext_ops history_ops = {
	.enqueue = (void *)history_enqueue,
	.dispatch = (void *)history_dispatch,
	.running = (void *)history_running,
	.enable = (void *)history_enable,
	.init = (void *)history_init,
	.name = "remembers_all",
};
