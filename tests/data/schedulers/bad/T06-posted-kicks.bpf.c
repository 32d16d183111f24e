// SPDX-License-Identifier: GPL-2.0
/*
 * T06: the timer stops one round earlier than it is taken to be stopped, so that no kicks follow
 * after 8 quiet ms. Stopped at Bytecode or Dynamic.
 */
/*
 * postbox: per-CPU queues filled at enqueue time; wakeup IPIs are collected and sent by a timer, at
 * most one per CPU and millisecond.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PB_CPUS	      64
#define PB_BASE	      0x500ULL
#define PB_PERIOD     (1ULL * 1000 * 1000)
#define PB_QUIET      8
#define PB_SLICE      (10ULL * 1000 * 1000)
#define PB_CLOCK_MONO 1

struct pb_round {
	struct bpf_timer timer;
	u32 quiet;
	u32 rounds;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct pb_round);
} pb_rounds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PB_CPUS);
	__type(key, u32);
	__type(value, u32);
} pb_posted SEC(".maps");

static u32 pb_nr_cpus;

static int pb_deliver(void *map, int *key, struct pb_round *r)
{
	u32 i, any = 0, *posted;

	for (i = 0; i < PB_CPUS; i++) {
		u32 cpu = i;

		if (cpu >= pb_nr_cpus)
			break;
		posted = bpf_map_lookup_elem(&pb_posted, &cpu);
		if (!posted || !*posted)
			continue;
		*posted = 0;
		any = 1;
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	}

	r->rounds++;
	r->quiet = any ? 0 : r->quiet + 1;
	if (r->quiet < PB_QUIET)
		bpf_timer_start(&r->timer, PB_PERIOD, 0);
	return 0;
}

static __always_inline void pb_post(u32 cpu)
{
	u32 zero = 0;
	u32 *posted = bpf_map_lookup_elem(&pb_posted, &cpu);
	struct pb_round *r = bpf_map_lookup_elem(&pb_rounds, &zero);

	if (!posted || !r)
		return;
	*posted = 1;
	if (r->quiet > PB_QUIET) {
		r->quiet = 0;
		bpf_timer_start(&r->timer, PB_PERIOD, 0);
	}
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(pb_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	/* placement is a matter of enqueue, which also sees expired slices */
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(pb_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 own = scx_bpf_task_cpu(p), at, len, best_len;
	u32 i;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, PB_BASE + (u32)own, PB_SLICE, enq_flags);
		pb_post(own);
		return;
	}

	at = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (at < 0) {
		/* no idle CPU: the shortest queue among the allowed ones */
		at = own;
		best_len = scx_bpf_dsq_nr_queued(PB_BASE + (u32)own);
		for (i = 0; i < PB_CPUS; i++) {
			if (i >= pb_nr_cpus)
				break;
			if (!bpf_cpumask_test_cpu(i, p->cpus_ptr))
				continue;
			len = scx_bpf_dsq_nr_queued(PB_BASE + i);
			if (len < best_len) {
				best_len = len;
				at = i;
			}
		}
	}

	scx_bpf_dsq_insert(p, PB_BASE + (u32)at, PB_SLICE, enq_flags);
	pb_post(at);
}

void SEC("struct_ops/dispatch") BPF_PROG(pb_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(PB_BASE + (u32)cpu);
}

s32 SEC("struct_ops.s/init") BPF_PROG(pb_init)
{
	struct pb_round *r;
	u32 zero = 0, i;
	s32 ret = 0;

	pb_nr_cpus = scx_bpf_nr_cpu_ids();
	if (pb_nr_cpus > PB_CPUS)
		return -7;
	for (i = 0; i < PB_CPUS && !ret; i++)
		ret = scx_bpf_create_dsq(PB_BASE + i, -1);
	if (ret)
		return ret;

	r = bpf_map_lookup_elem(&pb_rounds, &zero);
	if (!r)
		return -2;
	bpf_timer_init(&r->timer, &pb_rounds, PB_CLOCK_MONO);
	bpf_timer_set_callback(&r->timer, pb_deliver);
	return bpf_timer_start(&r->timer, PB_PERIOD, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops postbox_ops = {
	.select_cpu = (void *)pb_select_cpu,
	.enqueue = (void *)pb_enqueue,
	.dispatch = (void *)pb_dispatch,
	.init = (void *)pb_init,
	.name = "postbox",
};
