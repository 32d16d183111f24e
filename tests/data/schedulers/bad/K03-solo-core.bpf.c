// SPDX-License-Identifier: GPL-2.0
/*
 * K03: two neighbours kick each other and wait for it when they begin to run. Stopped at Bytecode
 * or Dynamic.
 */
/*
 * solocore: weighty tasks run without a neighbour on their core. The neighbour finds nothing to do
 * meanwhile and is woken afterwards.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SO_CPUS	  256
#define SO_QUEUE  0x14ULL
#define SO_SLICE  (4ULL * 1000 * 1000)
#define SO_WEIGHT 300

struct so_cpu {
	u32 alone;
	u32 yields;
	u64 since;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SO_CPUS);
	__type(key, u32);
	__type(value, struct so_cpu);
} so_cpus SEC(".maps");

static u32 so_nr_cpus;

static __always_inline struct so_cpu *so_get(u32 cpu)
{
	return bpf_map_lookup_elem(&so_cpus, &cpu);
}

static __always_inline s32 so_neighbour(s32 cpu)
{
	s32 other = cpu ^ 1;

	return other < (s32)so_nr_cpus ? other : -1;
}

/* the neighbour has asked for the core; that holds for one slice */
static __always_inline bool so_taken(s32 cpu)
{
	s32 other = so_neighbour(cpu);
	struct so_cpu *o;

	if (other < 0)
		return false;
	o = so_get(other);
	return o && o->alone && bpf_ktime_get_ns() - o->since < SO_SLICE;
}

void SEC("struct_ops/enqueue") BPF_PROG(so_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SO_SLICE, enq_flags);
		return;
	}

	/* the only task of this CPU stays, unless the neighbour wants to be alone */
	if ((enq_flags & SCX_ENQ_LAST) && !so_taken(scx_bpf_task_cpu(p))) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SO_SLICE, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, SO_QUEUE, SO_SLICE, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(so_dispatch, s32 cpu, struct task_struct *prev)
{
	struct so_cpu *c = so_get(cpu);

	if (so_taken(cpu)) {
		if (c)
			c->yields++;
		return;
	}
	scx_bpf_dsq_move_to_local(SO_QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(so_running, struct task_struct *p)
{
	s32 cpu = scx_bpf_task_cpu(p), other = so_neighbour(cpu);
	struct so_cpu *c = so_get(cpu);

	if (!c || other < 0 || p->scx.weight < SO_WEIGHT)
		return;
	c->alone = 1;
	c->since = bpf_ktime_get_ns();
	/* go on when the neighbour has let go of its task */
	scx_bpf_kick_cpu(other, SCX_KICK_PREEMPT | SCX_KICK_WAIT);
}

void SEC("struct_ops/stopping") BPF_PROG(so_stopping, struct task_struct *p, bool runnable)
{
	s32 cpu = scx_bpf_task_cpu(p), other = so_neighbour(cpu);
	struct so_cpu *c = so_get(cpu);

	if (!c || !c->alone)
		return;
	c->alone = 0;
	if (other >= 0)
		scx_bpf_kick_cpu(other, SCX_KICK_IDLE);
}

s32 SEC("struct_ops.s/init") BPF_PROG(so_init)
{
	so_nr_cpus = scx_bpf_nr_cpu_ids();
	if (so_nr_cpus > SO_CPUS)
		return -7;
	return scx_bpf_create_dsq(SO_QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops solocore_ops = {
	.enqueue = (void *)so_enqueue,
	.dispatch = (void *)so_dispatch,
	.running = (void *)so_running,
	.stopping = (void *)so_stopping,
	.init = (void *)so_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "solocore",
};
