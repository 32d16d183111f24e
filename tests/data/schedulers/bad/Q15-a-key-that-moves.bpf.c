// SPDX-License-Identifier: GPL-2.0
/*
 * Q15: an entry for each second that a task has run; when the task exits only that of its first
 * second is struck out; after days.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

struct k {
	u32 pid;
	u32 sec;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8000000);
	__type(key, struct k);
	__type(value, u64);
} seen SEC(".maps");

s32 SEC("struct_ops/diary_select_cpu")
	BPF_PROG(diary_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/diary_enqueue") BPF_PROG(diary_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
}

void SEC("struct_ops/diary_quiescent")
	BPF_PROG(diary_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct k k = {p->pid, p->se.sum_exec_runtime / 1000000000ULL};
	u64 now = scx_bpf_now();

	bpf_map_update_elem(&seen, &k, &now, 0);
}

void SEC("struct_ops/diary_exit_task")
	BPF_PROG(diary_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct k k = {p->pid, 0};

	bpf_map_delete_elem(&seen, &k);
}

SEC(".struct_ops.link")
struct sched_ext_ops diary_ops = {
	.select_cpu = (void *)diary_select_cpu,
	.enqueue = (void *)diary_enqueue,
	.quiescent = (void *)diary_quiescent,
	.exit_task = (void *)diary_exit_task,
	.name = "diary",
};
