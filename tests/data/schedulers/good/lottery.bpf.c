// SPDX-License-Identifier: GPL-2.0
/*
 * A lottery: among the first eight who wait and may run here, chance decides, with as many tickets
 * as weight. It is held for three turns of four; the fourth goes to whoever waits longest.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PLAYERS 0x777

enum { DRAWN_FROM = 8 };

static u64 tickets_sold(s32 cpu)
{
	struct task_struct *p;
	u64 tickets = 0;
	u32 seen = 0;

	bpf_for_each (scx_dsq, p, PLAYERS, 0) {
		if (++seen > DRAWN_FROM)
			break;
		if (bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			tickets += p->scx.weight;
	}
	return tickets;
}

static bool draw(s32 cpu)
{
	u64 tickets = tickets_sold(cpu), winner, passed = 0;
	struct task_struct *p;
	u32 seen = 0;

	if (!tickets)
		return false;
	winner = bpf_get_prandom_u32() % tickets;
	bpf_for_each (scx_dsq, p, PLAYERS, 0) {
		if (++seen > DRAWN_FROM)
			break;
		if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
			continue;
		passed += p->scx.weight;
		if (passed > winner)
			return scx_bpf_dsq_move(&___it, p, SCX_DSQ_LOCAL, 0);
	}
	return false;
}

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} held SEC(".maps");

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lottery_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 4000000, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lottery_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 idle;

	scx_bpf_dsq_insert(p, PLAYERS, 4000000, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lottery_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u32 *times = bpf_map_lookup_elem(&held, &zero);

	if (times && ++*times % 4 && draw(cpu))
		return;
	scx_bpf_dsq_move_to_local(PLAYERS);
}

s32 SEC("struct_ops.s/init") BPF_PROG(lottery_init)
{
	return scx_bpf_create_dsq(PLAYERS, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops lottery_ops = {
	.select_cpu = (void *)lottery_select_cpu,
	.enqueue = (void *)lottery_enqueue,
	.dispatch = (void *)lottery_dispatch,
	.init = (void *)lottery_init,
	.name = "lottery",
};
