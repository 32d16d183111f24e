// SPDX-License-Identifier: GPL-2.0
/*
 * T05: the pair is noted only in select_cpu, which bound tasks skip, so that they wait in the
 * queue of a foreign pair. Stopped at Bytecode or Dynamic.
 */
/*
 * pairs: two neighbouring CPUs share a queue; a pair that has three tasks waiting passes further
 * ones to the wide queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CP_PAIRS   128
#define CP_DEPTH   3
#define CP_BASE	   0x300ULL
#define CP_WIDE	   0x2ffULL
#define CP_SLICE   (10ULL * 1000 * 1000)
#define CP_KTHREAD 0x00200000

struct cp_seat {
	u32 pair;
	u32 moves;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct cp_seat);
} cp_seats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} cp_turn SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(cp_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct cp_seat *seat =
		bpf_task_storage_get(&cp_seats, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (cpu < 0)
		cpu = prev_cpu;
	if (seat) {
		u32 pair = (u32)cpu / 2;

		if (seat->pair != pair)
			seat->moves++;
		seat->pair = pair;
	}
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, CP_SLICE, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(cp_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cp_seat *seat;
	u64 dsq = CP_WIDE;
	s32 cpu;

	if ((p->flags & CP_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, CP_SLICE, enq_flags);
		return;
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | (u32)cpu, CP_SLICE, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}

	seat = bpf_task_storage_get(&cp_seats, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (seat && seat->pair < CP_PAIRS && scx_bpf_dsq_nr_queued(CP_BASE + seat->pair) < CP_DEPTH)
		dsq = CP_BASE + seat->pair;

	scx_bpf_dsq_insert(p, dsq, CP_SLICE, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(cp_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u32 *turn = bpf_map_lookup_elem(&cp_turn, &zero);
	u64 own = CP_BASE + (u32)cpu / 2, first = own, second = CP_WIDE;

	if (turn && ((*turn)++ & 1)) {
		first = CP_WIDE;
		second = own;
	}
	if (!scx_bpf_dsq_move_to_local(first))
		scx_bpf_dsq_move_to_local(second);
}

s32 SEC("struct_ops.s/init") BPF_PROG(cp_init)
{
	s32 ret;
	u32 i;

	if (scx_bpf_nr_cpu_ids() > 2 * CP_PAIRS)
		return -7;
	ret = scx_bpf_create_dsq(CP_WIDE, -1);
	for (i = 0; i < CP_PAIRS && !ret; i++)
		ret = scx_bpf_create_dsq(CP_BASE + i, -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops pairs_ops = {
	.select_cpu = (void *)cp_select_cpu,
	.enqueue = (void *)cp_enqueue,
	.dispatch = (void *)cp_dispatch,
	.init = (void *)cp_init,
	.name = "pairs",
};
