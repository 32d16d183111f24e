// SPDX-License-Identifier: GPL-2.0
/*
 * T03: a BPF queue is pushed with BPF_EXIST, so that the oldest waiting task is evicted silently.
 * Stopped at Bytecode or Dynamic.
 */
/*
 * two-lines: wakers and preempted tasks line up apart, two wakers are let in for every preempted
 * one.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TL_DOOR	 0x21ULL
#define TL_LEN	 192
#define TL_SLICE (6ULL * 1000 * 1000)

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, TL_LEN);
	__type(value, s32);
} tl_wakers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, TL_LEN);
	__type(value, s32);
} tl_runners SEC(".maps");

struct tl_stats {
	u64 wakers;
	u64 runners;
	u64 spilled;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct tl_stats);
} tl_counts SEC(".maps");

void SEC("struct_ops/enqueue") BPF_PROG(tl_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 zero = 0;
	struct tl_stats *st = bpf_map_lookup_elem(&tl_counts, &zero);
	s32 pid = p->pid, cpu;
	long err;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, TL_SLICE, enq_flags);
		return;
	}

	if (enq_flags & SCX_ENQ_WAKEUP) {
		err = bpf_map_push_elem(&tl_wakers, &pid, BPF_EXIST);
		if (st)
			st->wakers++;
	} else {
		err = bpf_map_push_elem(&tl_runners, &pid, BPF_EXIST);
		if (st)
			st->runners++;
	}
	if (err) {
		/* no room in the line: straight to the door */
		scx_bpf_dsq_insert(p, TL_DOOR, TL_SLICE, enq_flags);
		if (st)
			st->spilled++;
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static __always_inline bool tl_admit(void *line)
{
	struct task_struct *p;
	s32 pid;

	if (bpf_map_pop_elem(line, &pid))
		return false;
	p = bpf_task_from_pid(pid);
	if (p) {
		scx_bpf_dsq_insert(p, TL_DOOR, TL_SLICE, 0);
		bpf_task_release(p);
	}
	return true;
}

void SEC("struct_ops/dispatch") BPF_PROG(tl_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 round;
	bool any;

	if (scx_bpf_dsq_move_to_local(TL_DOOR))
		return;

	/* a round may bring only tasks for other CPUs, try a few */
	for (round = 0; round < 4; round++) {
		any = tl_admit(&tl_wakers);
		any |= tl_admit(&tl_wakers);
		any |= tl_admit(&tl_runners);
		if (!any)
			return;
		if (scx_bpf_dsq_move_to_local(TL_DOOR))
			return;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(tl_init)
{
	return scx_bpf_create_dsq(TL_DOOR, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops two_lines_ops = {
	.enqueue = (void *)tl_enqueue,
	.dispatch = (void *)tl_dispatch,
	.init = (void *)tl_init,
	.name = "two_lines",
};
