// SPDX-License-Identifier: GPL-2.0
/*
 * One FIFO per group of neighbouring CPUs (stand-in for an LLC, width is a tunable), stealing
 * between groups when empty and every fourth turn; releases waiting tasks of a CPU going offline.
 */
/*
 * CPUs with neighbouring numbers usually share a cache. Each cluster of
 * cl_width CPUs has one line. A CPU serves the line of its cluster and looks
 * at the other lines when that is empty, and regularly anyway.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CL_LINES 32
#define CL_BASE	 0xc100

const volatile u32 cl_width = 4;
const volatile u64 cl_slice_ns = 3500000ULL;

struct cl_state {
	u32 turn;
	u32 next;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cl_state);
} cl_states SEC(".maps");

static __always_inline u32 cl_of(s32 cpu)
{
	u32 width = cl_width ? cl_width : 1;

	return ((u32)cpu / width) % CL_LINES;
}

static __always_inline bool cl_visit(struct cl_state *st, u32 home)
{
	u32 i, line;

	for (i = 0; i < CL_LINES; i++) {
		st->next = (st->next + 1) % CL_LINES;
		line = st->next;
		if (line == home || scx_bpf_dsq_nr_queued(CL_BASE + line) <= 0)
			continue;
		if (scx_bpf_dsq_move_to_local(CL_BASE + line))
			return true;
	}
	return false;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(cl_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, cl_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(cl_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	scx_bpf_dsq_insert(p, CL_BASE + cl_of(cpu), cl_slice_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(cl_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 home = cl_of(cpu);
	u32 zero = 0;
	struct cl_state *st = bpf_map_lookup_elem(&cl_states, &zero);

	if (!st) {
		scx_bpf_dsq_move_to_local(CL_BASE + home);
		return;
	}

	st->turn++;
	if (st->turn % 4 == 0 && cl_visit(st, home))
		return;
	if (scx_bpf_dsq_move_to_local(CL_BASE + home))
		return;
	cl_visit(st, home);
}

void SEC("struct_ops/cpu_online") BPF_PROG(cl_cpu_online, s32 cpu)
{
	/* its cluster line exists already */
}

void SEC("struct_ops/cpu_offline") BPF_PROG(cl_cpu_offline, s32 cpu)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;

	/*
	 * What waits with this CPU is handed to its local queue; hotplug
	 * empties that and finds other CPUs, also for the pinned.
	 */
	bpf_iter_scx_dsq_new(&it, CL_BASE + cl_of(cpu), 0);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		if (scx_bpf_task_cpu(p) != cpu)
			continue;
		scx_bpf_dsq_move(&it, p, SCX_DSQ_LOCAL_ON | (u64)cpu, 0);
	}
	bpf_iter_scx_dsq_destroy(&it);
}

s32 SEC("struct_ops.s/init") BPF_PROG(cl_init)
{
	u32 i;

	for (i = 0; i < CL_LINES; i++) {
		s32 err = scx_bpf_create_dsq(CL_BASE + i, -1);

		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops cl_ops = {
	.select_cpu = (void *)cl_select_cpu,
	.enqueue = (void *)cl_enqueue,
	.dispatch = (void *)cl_dispatch,
	.cpu_online = (void *)cl_cpu_online,
	.cpu_offline = (void *)cl_cpu_offline,
	.init = (void *)cl_init,
	.name = "cluster_lines",
};
