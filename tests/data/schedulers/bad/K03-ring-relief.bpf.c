// SPDX-License-Identifier: GPL-2.0
/*
 * K03: at the tick every CPU kicks its successor and waits for it, in a cycle of all CPUs, when
 * their queues are equally long. Stopped at Bytecode or Dynamic.
 */
/*
 * ring: a queue per CPU; long queues ask the next CPU in the ring to come and take some, CPUs that
 * run dry help themselves.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define RR_CPUS	   128
#define RR_BASE	   0x600ULL
#define RR_SLICE   (10ULL * 1000 * 1000)
#define RR_KTHREAD 0x00200000

struct rr_cpu {
	u32 next;
	u32 asked;
	u32 taken;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, RR_CPUS);
	__type(key, u32);
	__type(value, struct rr_cpu);
} rr_cpus SEC(".maps");

static u32 rr_nr_cpus;

void SEC("struct_ops/enqueue") BPF_PROG(rr_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 own = scx_bpf_task_cpu(p);
	s32 cpu;

	if ((p->flags & RR_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, RR_SLICE, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, RR_BASE + own, RR_SLICE, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(rr_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 own = cpu, i, at;
	struct rr_cpu *c = bpf_map_lookup_elem(&rr_cpus, &own);

	/* every fourth turn is given to a predecessor that has asked */
	if (c && c->asked && ++c->taken >= 4) {
		c->taken = 0;
		c->asked = 0;
		at = own ? own - 1 : rr_nr_cpus - 1;
		if (scx_bpf_dsq_move_to_local(RR_BASE + at))
			return;
	}

	for (i = 0; i < RR_CPUS; i++) {
		if (i >= rr_nr_cpus)
			break;
		/* own queue first, then backwards around the ring */
		at = own >= i ? own - i : own + rr_nr_cpus - i;
		if (scx_bpf_dsq_move_to_local(RR_BASE + at))
			return;
	}
}

void SEC("struct_ops/tick") BPF_PROG(rr_tick, struct task_struct *p)
{
	u32 own = scx_bpf_task_cpu(p), next;
	struct rr_cpu *c = bpf_map_lookup_elem(&rr_cpus, &own), *n;
	s32 mine, theirs;

	if (!c)
		return;
	next = c->next;
	if (next == own)
		return;

	mine = scx_bpf_dsq_nr_queued(RR_BASE + own);
	theirs = scx_bpf_dsq_nr_queued(RR_BASE + next);
	if (mine <= 0 || theirs > mine)
		return;

	n = bpf_map_lookup_elem(&rr_cpus, &next);
	if (!n)
		return;
	n->asked = 1;
	/* it has seen the request when it is through the scheduler once */
	scx_bpf_kick_cpu(next, SCX_KICK_WAIT);
}

s32 SEC("struct_ops.s/init") BPF_PROG(rr_init)
{
	struct rr_cpu *c;
	u32 i, key;
	s32 ret;

	rr_nr_cpus = scx_bpf_nr_cpu_ids();
	if (rr_nr_cpus > RR_CPUS)
		return -7;

	for (i = 0; i < RR_CPUS; i++) {
		if (i >= rr_nr_cpus)
			break;
		key = i;
		c = bpf_map_lookup_elem(&rr_cpus, &key);
		if (!c)
			return -2;
		c->next = i + 1 < rr_nr_cpus ? i + 1 : 0;
		ret = scx_bpf_create_dsq(RR_BASE + i, -1);
		if (ret)
			return ret;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops ring_ops = {
	.enqueue = (void *)rr_enqueue,
	.dispatch = (void *)rr_dispatch,
	.tick = (void *)rr_tick,
	.init = (void *)rr_init,
	.name = "ring_relief",
};
