// SPDX-License-Identifier: GPL-2.0
/*
 * Per-CPU lanes plus a shared lane for CPUs that are offline or beyond the table; cpu_offline
 * hands waiting tasks to the local queue for the hotplug code, others always look into every lane.
 */
/*
 * The map hr_up says which CPUs have a lane in use. Tasks of a CPU without one go to
 * the common lane, which all CPUs serve. A CPU takes from its lane and from
 * the common lane in turn, and then from anywhere.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HR_LANES  32
#define HR_LANE0  0x5000
#define HR_COMMON 0x5fff

const volatile u64 hr_slice_ns = 3500000ULL;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HR_LANES);
	__type(key, u32);
	__type(value, u32);
} hr_up SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} hr_turns SEC(".maps");

static __always_inline u64 hr_lane(s32 cpu)
{
	u32 key = cpu;
	u32 *up = bpf_map_lookup_elem(&hr_up, &key);

	/* no entry: the number is beyond the table */
	return up && *up ? HR_LANE0 + (u64)key : HR_COMMON;
}

static __always_inline void hr_set(s32 cpu, u32 up)
{
	u32 key = cpu;
	u32 *entry = bpf_map_lookup_elem(&hr_up, &key);

	if (entry)
		*entry = up;
}

static __always_inline bool hr_anywhere(u32 start)
{
	u32 i;

	for (i = 0; i < HR_LANES; i++) {
		u64 lane = HR_LANE0 + (start + i) % HR_LANES;

		if (scx_bpf_dsq_nr_queued(lane) > 0 && scx_bpf_dsq_move_to_local(lane))
			return true;
	}
	return scx_bpf_dsq_move_to_local(HR_COMMON);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(hr_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, hr_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(hr_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, hr_lane(scx_bpf_task_cpu(p)), hr_slice_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(hr_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, turn = 0;
	u32 *t = bpf_map_lookup_elem(&hr_turns, &zero);

	if (t) {
		turn = *t;
		*t = turn + 1;
	}

	switch (turn & 3) {
	case 1:
		if (scx_bpf_dsq_move_to_local(HR_COMMON))
			return;
		break;
	case 3:
		if (hr_anywhere(turn >> 2))
			return;
		break;
	}

	if (scx_bpf_dsq_move_to_local(hr_lane(cpu)))
		return;
	hr_anywhere((u32)cpu + 1);
}

void SEC("struct_ops/cpu_online") BPF_PROG(hr_cpu_online, s32 cpu)
{
	hr_set(cpu, 1);
}

static __always_inline void hr_hand_over(u64 lane, s32 cpu)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;

	bpf_iter_scx_dsq_new(&it, lane, 0);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		if (scx_bpf_task_cpu(p) == cpu)
			scx_bpf_dsq_move(&it, p, SCX_DSQ_LOCAL_ON | (u64)cpu, 0);
	}
	bpf_iter_scx_dsq_destroy(&it);
}

void SEC("struct_ops/cpu_offline") BPF_PROG(hr_cpu_offline, s32 cpu)
{
	u64 lane = hr_lane(cpu);

	hr_set(cpu, 0);
	hr_hand_over(lane, cpu);
	if (lane != HR_COMMON)
		hr_hand_over(HR_COMMON, cpu);
}

s32 SEC("struct_ops.s/init") BPF_PROG(hr_init)
{
	const struct cpumask *online;
	s32 err;
	u32 i;

	err = scx_bpf_create_dsq(HR_COMMON, -1);
	if (err)
		return err;
	for (i = 0; i < HR_LANES; i++) {
		err = scx_bpf_create_dsq(HR_LANE0 + i, -1);
		if (err)
			return err;
	}

	online = scx_bpf_get_online_cpumask();
	for (i = 0; i < HR_LANES; i++)
		hr_set(i, bpf_cpumask_test_cpu(i, online));
	scx_bpf_put_cpumask(online);
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops hr_ops = {
	.select_cpu = (void *)hr_select_cpu,
	.enqueue = (void *)hr_enqueue,
	.dispatch = (void *)hr_dispatch,
	.cpu_online = (void *)hr_cpu_online,
	.cpu_offline = (void *)hr_cpu_offline,
	.init = (void *)hr_init,
	.name = "hotplug_ready",
};
