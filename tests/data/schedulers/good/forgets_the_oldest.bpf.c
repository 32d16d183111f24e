// SPDX-License-Identifier: GPL-2.0
/*
 * Remembers how long tasks ran last, in a table that forgets whom it has not seen for longest. The
 * order is the time of arrival plus that, at most `most_ns`.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define RECENT_Q 0xd06

const volatile u64 most_ns = 200000000;

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, s32);
	__type(value, u64);
} last_runs SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(recent_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5000000, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(recent_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid, idle;
	u64 *ran = bpf_map_lookup_elem(&last_runs, &pid);
	u64 ahead = ran ? *ran * 8 : 0;

	if (ahead > most_ns)
		ahead = most_ns;
	scx_bpf_dsq_insert_vtime(p, RECENT_Q, 5000000, bpf_ktime_get_ns() + ahead, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(recent_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(RECENT_Q);
}

void SEC("struct_ops/stopping") BPF_PROG(recent_stopping, struct task_struct *p, bool runnable)
{
	s32 pid = p->pid;
	u64 ran = p->scx.slice < 5000000 ? 5000000 - p->scx.slice : 0;

	bpf_map_update_elem(&last_runs, &pid, &ran, BPF_ANY);
}

s32 SEC("struct_ops.s/init") BPF_PROG(recent_init)
{
	return scx_bpf_create_dsq(RECENT_Q, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops recent_ops = {
	.select_cpu = (void *)recent_select_cpu,
	.enqueue = (void *)recent_enqueue,
	.dispatch = (void *)recent_dispatch,
	.stopping = (void *)recent_stopping,
	.init = (void *)recent_init,
	.name = "forgets_the_oldest",
};
