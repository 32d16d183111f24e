// SPDX-License-Identifier: GPL-2.0
/*
 * follows CPUs going on and off line: a queue per CPU while it is up, everything else in a
 * shared queue; what is left in the queue of a dead CPU is drained by the others.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD    0x00200000
#define MAX_CPUS      1024
#define SHARED_Q      0x2000ULL
#define LANE_Q(cpu)   ((u64)((u32)(cpu) & (MAX_CPUS - 1)))
#define PINNED_Q(cpu) (0x1000ULL + ((u32)(cpu) & (MAX_CPUS - 1)))

const volatile u64 slice_ns = 5000000ULL;
const volatile u64 window_ns = 100000000ULL;
const volatile s32 lane_depth = 4;

struct hp_cpu {
	u8 up;
	u8 drain; /* went off line and may have left tasks behind */
	u32 n;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct hp_cpu);
} hp_cpus SEC(".maps");

static u32 nr_ids;
static u32 last_down; /* the CPU that went away last */
static u64 nr_on, nr_off, nr_drained;

static __always_inline struct hp_cpu *hp_get(s32 cpu)
{
	u32 key = cpu;

	return bpf_map_lookup_elem(&hp_cpus, &key);
}

static __always_inline void kick_idle_for(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(hp_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(hp_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 here = scx_bpf_task_cpu(p);
	struct hp_cpu *hc = hp_get(here);
	u64 late = slice_ns * 100 / p->scx.weight;
	u64 q = SHARED_Q;

	if (p->nr_cpus_allowed == 1) {
		if (p->flags & PF_KTHREAD) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
			return;
		}
		q = PINNED_Q(here);
	} else if (hc && hc->up && scx_bpf_dsq_nr_queued(LANE_Q(here)) < lane_depth) {
		q = LANE_Q(here);
	}
	scx_bpf_dsq_insert_vtime(p, q, slice_ns,
				 bpf_ktime_get_ns() + (late < window_ns ? late : window_ns),
				 enq_flags);
	kick_idle_for(p);
}

static long drain_one(u64 i, void *ctx)
{
	u32 *from = ctx;
	u32 cpu = (*from + (u32)i) % (nr_ids ?: 1);

	if (!scx_bpf_dsq_move_to_local(LANE_Q(cpu)))
		return 0;
	__sync_fetch_and_add(&nr_drained, 1);
	return 1;
}

void SEC("struct_ops/dispatch") BPF_PROG(hp_dispatch, s32 cpu, struct task_struct *prev)
{
	struct hp_cpu *hc = hp_get(cpu), *dead;
	u32 n = 0, from = cpu + 1;

	if (hc)
		n = hc->n++;

	/* leftovers of a CPU that is gone come before anything else */
	dead = hp_get(last_down);
	if (dead && dead->drain) {
		if (scx_bpf_dsq_move_to_local(LANE_Q(last_down)))
			return;
		if (scx_bpf_dsq_nr_queued(LANE_Q(last_down)) <= 0)
			dead->drain = 0;
	}

	/* the rest in turns: shared, own lane, pinned, somebody else's lane */
	switch (n & 3) {
	case 0:
		if (scx_bpf_dsq_move_to_local(SHARED_Q))
			return;
		break;
	case 1:
		if (scx_bpf_dsq_move_to_local(PINNED_Q(cpu)))
			return;
		break;
	case 2:
		if (scx_bpf_dsq_move_to_local(LANE_Q((n >> 2) % (nr_ids ?: 1))))
			return;
		break;
	}
	if (scx_bpf_dsq_move_to_local(LANE_Q(cpu)) || scx_bpf_dsq_move_to_local(SHARED_Q) ||
	    scx_bpf_dsq_move_to_local(PINNED_Q(cpu)))
		return;
	bpf_loop(nr_ids, drain_one, &from, 0);
}

void SEC("struct_ops.s/cpu_online") BPF_PROG(hp_cpu_online, s32 cpu)
{
	struct hp_cpu *hc = hp_get(cpu);

	if (hc) {
		hc->drain = 0;
		hc->up = 1;
	}
	nr_on++;
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops.s/cpu_offline") BPF_PROG(hp_cpu_offline, s32 cpu)
{
	const struct cpumask *online;
	struct hp_cpu *hc = hp_get(cpu);
	u32 helper;

	if (hc) {
		hc->up = 0;
		hc->drain = 1;
	}
	last_down = cpu;
	nr_off++;

	/* whoever it is, it finds the leftovers the next time it dispatches */
	online = scx_bpf_get_online_cpumask();
	helper = bpf_cpumask_any_distribute(online);
	if (helper == (u32)cpu)
		helper = bpf_cpumask_any_distribute(online);
	if (helper < nr_ids)
		scx_bpf_kick_cpu(helper, SCX_KICK_IDLE);
	scx_bpf_put_cpumask(online);
}

s32 SEC("struct_ops.s/init") BPF_PROG(hp_init)
{
	const struct cpumask *online;
	struct hp_cpu *hc;
	s32 ret;
	u32 i;

	nr_ids = scx_bpf_nr_cpu_ids();
	ret = scx_bpf_create_dsq(SHARED_Q, -1);
	for (i = 0; i < MAX_CPUS && i < nr_ids && !ret; i++) {
		ret = scx_bpf_create_dsq(LANE_Q(i), -1);
		if (!ret)
			ret = scx_bpf_create_dsq(PINNED_Q(i), -1);
		online = scx_bpf_get_online_cpumask();
		hc = hp_get(i);
		if (hc)
			hc->up = bpf_cpumask_test_cpu(i, online);
		scx_bpf_put_cpumask(online);
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops hotplug_ops = {
	.select_cpu = (void *)hp_select_cpu,
	.enqueue = (void *)hp_enqueue,
	.dispatch = (void *)hp_dispatch,
	.cpu_online = (void *)hp_cpu_online,
	.cpu_offline = (void *)hp_cpu_offline,
	.init = (void *)hp_init,
	.name = "hotplug_lanes",
};
