// SPDX-License-Identifier: GPL-2.0
/*
 * Per-CPU queues ordered by a weight-scaled, capped real-time deadline; bpf_loop steals from the
 * other lanes when the own one is empty and regularly in turn.
 */
/*
 * One priority queue per CPU. The order inside is by deadline: the time it
 * would take to serve the lane once, divided by the weight of the task.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LANES_MAX  128
#define LANE_ID(n) (0x20000ULL + (n))

const volatile u64 lane_slice_ns = 3500000ULL;
const volatile u64 lane_cap_ns = 400000000ULL;
const volatile u32 lane_help_every = 5;

u32 lane_count = 1;

struct lane_walk {
	u32 lane;
	u32 home;
	u32 count;
	u32 found;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} lane_rounds SEC(".maps");

static __always_inline u32 lane_index(s32 cpu)
{
	return lane_count ? (u32)cpu % lane_count : 0;
}

static long lane_try(u32 i, struct lane_walk *w)
{
	u32 lane = w->lane + 1;

	if (lane >= w->count)
		lane = 0;
	w->lane = lane;

	if (lane == w->home)
		return 0;
	if (scx_bpf_dsq_nr_queued(LANE_ID(lane)) <= 0)
		return 0;
	if (!scx_bpf_dsq_move_to_local(LANE_ID(lane)))
		return 0;
	w->found = 1;
	return 1;
}

static __always_inline bool lane_steal(u32 home, u32 start)
{
	struct lane_walk w = {
		.lane = start,
		.home = home,
		.count = lane_count,
		.found = 0,
	};

	bpf_loop(w.count, lane_try, &w, 0);
	return w.found;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lane_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, lane_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lane_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 dsq = LANE_ID(lane_index(scx_bpf_task_cpu(p)));
	s32 waiting = scx_bpf_dsq_nr_queued(dsq);
	u64 weight = p->scx.weight ? p->scx.weight : 1;
	u64 kept = p->scx.dsq_vtime;
	u64 rel, deadline;
	s32 cpu;

	if (waiting < 0)
		waiting = 0;
	rel = ((u64)waiting + 1) * lane_slice_ns * 100 / weight;
	if (rel > lane_cap_ns)
		rel = lane_cap_ns;

	/* a task that did not run since it was queued keeps its deadline */
	deadline = scx_bpf_now() + rel;
	if (kept && (s64)(kept - deadline) < 0)
		deadline = kept;
	scx_bpf_dsq_insert_vtime(p, dsq, lane_slice_ns, deadline, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lane_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 home = lane_index(cpu);
	u64 round = 1;
	u32 zero = 0;
	u64 *r = bpf_map_lookup_elem(&lane_rounds, &zero);

	if (r)
		round = ++*r;

	/* the start moves on, so that every lane is helped sooner or later */
	if (lane_help_every && round % lane_help_every == 0 &&
	    lane_steal(home, (u32)((home + round / lane_help_every) % LANES_MAX)))
		return;
	if (scx_bpf_dsq_move_to_local(LANE_ID(home)))
		return;
	lane_steal(home, home);
}

void SEC("struct_ops/running") BPF_PROG(lane_running, struct task_struct *p)
{
	/* served: the next wait gets a new deadline */
	p->scx.dsq_vtime = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(lane_init)
{
	u32 nr = scx_bpf_nr_cpu_ids();
	s32 err;
	u32 i;

	if (nr > LANES_MAX)
		nr = LANES_MAX;
	if (!nr)
		nr = 1;

	for (i = 0; i < LANES_MAX && i < nr; i++) {
		err = scx_bpf_create_dsq(LANE_ID(i), -1);
		if (err)
			return err;
	}
	lane_count = nr;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops lane_ops = {
	.select_cpu = (void *)lane_select_cpu,
	.enqueue = (void *)lane_enqueue,
	.dispatch = (void *)lane_dispatch,
	.running = (void *)lane_running,
	.init = (void *)lane_init,
	.name = "lane_deadlines",
};
