// SPDX-License-Identifier: GPL-2.0
/*
 * What each task has used is kept in a hash by its number, made room for when the task comes and
 * given back when it goes; where there is no room, the task is served as one that used nothing.
 * The order is the time of arrival plus what it used lately, at most `lead_most_ns`.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BOOKED 0xb00

const volatile u64 lead_most_ns = 250000000;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, s32);
	__type(value, u64);
} used_by SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(books_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5000000, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(books_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid, idle;
	u64 *used = bpf_map_lookup_elem(&used_by, &pid);
	u64 lead = used ? *used : 0;

	if (lead > lead_most_ns)
		lead = lead_most_ns;
	scx_bpf_dsq_insert_vtime(p, BOOKED, 5000000, bpf_ktime_get_ns() + lead, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(books_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BOOKED);
}

void SEC("struct_ops/stopping") BPF_PROG(books_stopping, struct task_struct *p, bool runnable)
{
	s32 pid = p->pid;
	u64 *used = bpf_map_lookup_elem(&used_by, &pid);

	if (used && p->scx.slice < 5000000)
		*used = *used / 2 + (5000000 - p->scx.slice);
}

void SEC("struct_ops/enable") BPF_PROG(books_enable, struct task_struct *p)
{
	s32 pid = p->pid;
	u64 nothing = 0;

	bpf_map_update_elem(&used_by, &pid, &nothing, BPF_ANY);
}

void SEC("struct_ops/disable") BPF_PROG(books_disable, struct task_struct *p)
{
	s32 pid = p->pid;

	bpf_map_delete_elem(&used_by, &pid);
}

s32 SEC("struct_ops.s/init") BPF_PROG(books_init)
{
	return scx_bpf_create_dsq(BOOKED, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops books_ops = {
	.select_cpu = (void *)books_select_cpu,
	.enqueue = (void *)books_enqueue,
	.dispatch = (void *)books_dispatch,
	.stopping = (void *)books_stopping,
	.enable = (void *)books_enable,
	.disable = (void *)books_disable,
	.init = (void *)books_init,
	.name = "remembers_tasks",
};
