// SPDX-License-Identifier: GPL-2.0
/*
 * one CPU hands out work ahead of need to a small box per CPU, but every CPU can serve itself,
 * so nothing depends on the overseer being alive.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD  0x00200000
#define MAX_CPUS    512
#define BACKLOG_LEN 16384
#define BOX_DEPTH   2

#define SPILL_Q	   0x30000ULL
#define BOX_Q(cpu) ((u64)((u32)(cpu) & (MAX_CPUS - 1)))

const volatile u64 slice_ns = 4000000ULL;

static s32 overseer_cpu;
static u32 nr_cpus;
static u64 nr_handed_out, nr_self_served, nr_rescued;

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, BACKLOG_LEN);
	__type(value, u32);
} backlog SEC(".maps");

struct ov_cpu {
	u32 turn;
	u32 victim;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ov_cpu);
} ov_cpus SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ov_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ov_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 pid = p->pid;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		if (p->flags & PF_KTHREAD) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
			return;
		}
		scx_bpf_dsq_insert(p, BOX_Q(scx_bpf_task_cpu(p)), slice_ns, enq_flags);
	} else if (bpf_map_push_elem(&backlog, &pid, 0)) {
		scx_bpf_dsq_insert(p, SPILL_Q, slice_ns, enq_flags);
	}

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

/* Pops one waiting task for @cpu. Returns 0 when the backlog is empty. */
static __always_inline int pop_for(u32 cpu)
{
	struct task_struct *p;
	u32 pid;
	s32 idle;

	if (bpf_map_pop_elem(&backlog, &pid))
		return 0;
	p = bpf_task_from_pid(pid);
	if (!p)
		return 1;
	if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
		scx_bpf_dsq_insert(p, BOX_Q(cpu), slice_ns, 0);
	} else {
		scx_bpf_dsq_insert(p, SPILL_Q, slice_ns, 0);
		idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
		if (idle >= 0)
			scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
	}
	bpf_task_release(p);
	return 1;
}

static long hand_out_one(u64 i, void *ctx)
{
	const struct cpumask *online;
	u32 cpu = i;
	bool up;

	online = scx_bpf_get_online_cpumask();
	up = bpf_cpumask_test_cpu(cpu, online);
	scx_bpf_put_cpumask(online);
	if (!up)
		return 0;
	/* leave some room for what dispatch itself inserts afterwards */
	if (scx_bpf_dispatch_nr_slots() < 8)
		return 1;
	if (scx_bpf_dsq_nr_queued(BOX_Q(cpu)) >= BOX_DEPTH)
		return 0;
	if (!pop_for(cpu))
		return 1;
	__sync_fetch_and_add(&nr_handed_out, 1);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	return 0;
}

static __always_inline bool serve_self(s32 cpu)
{
	u32 i;

	for (i = 0; i < 6; i++) {
		if (!pop_for(cpu))
			return false;
		if (scx_bpf_dsq_move_to_local(BOX_Q(cpu))) {
			__sync_fetch_and_add(&nr_self_served, 1);
			return true;
		}
	}
	return false;
}

static long rescue_one(u64 i, void *ctx)
{
	u32 *from = ctx;
	u32 nr = nr_cpus ?: 1;

	if (!scx_bpf_dsq_move_to_local(BOX_Q((*from + (u32)i) % nr)))
		return 0;
	__sync_fetch_and_add(&nr_rescued, 1);
	return 1;
}

void SEC("struct_ops/dispatch") BPF_PROG(ov_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, from, turn, nr = nr_cpus;
	struct ov_cpu *oc;

	oc = bpf_map_lookup_elem(&ov_cpus, &zero);
	if (!oc || !nr)
		return;
	turn = oc->turn++;
	from = oc->victim++;

	if (cpu == overseer_cpu)
		bpf_loop(nr, hand_out_one, 0, 0);

	/* one turn in four looks into a neighbour's box, in case it is held up there */
	if ((turn & 3) == 3 && scx_bpf_dsq_move_to_local(BOX_Q(from % nr)))
		return;
	if (scx_bpf_dsq_move_to_local(SPILL_Q))
		return;
	/* the box holds pinned tasks too: let the backlog go first every other turn */
	if ((turn & 1) && serve_self(cpu))
		return;
	if (scx_bpf_dsq_move_to_local(BOX_Q(cpu)))
		return;
	if (serve_self(cpu))
		return;
	bpf_loop(nr, rescue_one, &from, 0);
}

void SEC("struct_ops/cpu_release")
	BPF_PROG(ov_cpu_release, s32 cpu, struct scx_cpu_release_args *args)
{
	/* a higher class takes this CPU: whoever can run elsewhere should */
	scx_bpf_reenqueue_local();
}

s32 SEC("struct_ops.s/init") BPF_PROG(ov_init)
{
	const struct cpumask *online;
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	nr_cpus = nr;

	online = scx_bpf_get_online_cpumask();
	overseer_cpu = bpf_cpumask_first(online);
	scx_bpf_put_cpumask(online);

	ret = scx_bpf_create_dsq(SPILL_Q, -1);
	for (i = 0; i < MAX_CPUS && !ret; i++) {
		if (i >= nr)
			break;
		ret = scx_bpf_create_dsq(BOX_Q(i), -1);
	}
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops overseer_ops = {
	.select_cpu = (void *)ov_select_cpu,
	.enqueue = (void *)ov_enqueue,
	.dispatch = (void *)ov_dispatch,
	.cpu_release = (void *)ov_cpu_release,
	.init = (void *)ov_init,
	.name = "overseer",
};
