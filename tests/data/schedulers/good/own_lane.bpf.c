// SPDX-License-Identifier: GPL-2.0
/*
 * A FIFO queue per CPU (CPU ids beyond the table share lanes), stealing when the own lane is
 * empty, and every fourth dispatch helps another lane so that none depends on its own CPU.
 */
/*
 * Lanes are numbered cpu % own_nr_lanes. A CPU serves its own lane, but each
 * fourth turn goes to the next lane with waiting tasks, whoever it belongs to:
 * a CPU that is kept busy by a higher class must not hold up its lane.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OWN_LANE_BASE 0x1000
#define OWN_MAX_LANES 64

const volatile u64 own_slice_ns = 3500000ULL;

u32 own_nr_lanes = 1;

struct own_cpu {
	u32 turn;
	u32 cursor;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct own_cpu);
} own_cpus SEC(".maps");

static __always_inline u32 own_lane_of(s32 cpu)
{
	u32 nr = own_nr_lanes;

	return nr ? (u32)cpu % nr : 0;
}

/* visits the other lanes in a circle, beginning with *from */
static __always_inline bool own_take_from_others(u32 me, u32 *from)
{
	u32 nr = own_nr_lanes;
	u32 lane = *from;
	u32 i;

	for (i = 0; i < OWN_MAX_LANES; i++) {
		if (i >= nr)
			break;
		if (++lane >= nr)
			lane = 0;
		if (lane == me)
			continue;
		if (scx_bpf_dsq_nr_queued(OWN_LANE_BASE + lane) <= 0)
			continue;
		if (scx_bpf_dsq_move_to_local(OWN_LANE_BASE + lane)) {
			*from = lane;
			return true;
		}
	}
	return false;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(own_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, own_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(own_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 lane = own_lane_of(scx_bpf_task_cpu(p));
	s32 cpu;

	scx_bpf_dsq_insert(p, OWN_LANE_BASE + lane, own_slice_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(own_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 me = own_lane_of(cpu);
	u32 zero = 0;
	struct own_cpu *c;

	c = bpf_map_lookup_elem(&own_cpus, &zero);
	if (!c) {
		scx_bpf_dsq_move_to_local(OWN_LANE_BASE + me);
		return;
	}

	if ((++c->turn & 3) == 0 && own_take_from_others(me, &c->cursor))
		return;
	if (scx_bpf_dsq_move_to_local(OWN_LANE_BASE + me))
		return;
	own_take_from_others(me, &c->cursor);
}

s32 SEC("struct_ops.s/init") BPF_PROG(own_init)
{
	u32 nr = scx_bpf_nr_cpu_ids();
	u32 i;
	s32 err;

	if (nr > OWN_MAX_LANES)
		nr = OWN_MAX_LANES;
	if (nr == 0)
		nr = 1;
	own_nr_lanes = nr;

	for (i = 0; i < OWN_MAX_LANES; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(OWN_LANE_BASE + i, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops own_ops = {
	.select_cpu = (void *)own_select_cpu,
	.enqueue = (void *)own_enqueue,
	.dispatch = (void *)own_dispatch,
	.init = (void *)own_init,
	.name = "own_lane",
};
