// SPDX-License-Identifier: GPL-2.0
/*
 * R08: the quotas of three lanes, 20, 10 and 4, exceed a batch of 32 when all lanes are deep.
 * Stopped at Bytecode or Dynamic.
 */
/*
 * quotas: three lanes by weight, let in through a common door in the proportion 10 : 5 : 2.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QL_DOOR	 0x66ULL
#define QL_LANES 3
#define QL_MOST	 20

struct ql_config {
	u32 quota;
	u32 slice_us;
};

static const struct ql_config ql_config[QL_LANES] = {
	{.quota = 20, .slice_us = 3000},
	{.quota = 10, .slice_us = 5000},
	{.quota = 4, .slice_us = 9000},
};

struct ql_lane {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 8192);
	__type(value, s32);
};

struct ql_lane ql_high SEC(".maps");
struct ql_lane ql_normal SEC(".maps");
struct ql_lane ql_low SEC(".maps");

static __always_inline u32 ql_lane_of(const struct task_struct *p)
{
	if (p->scx.weight > 100)
		return 0;
	return p->scx.weight == 100 ? 1 : 2;
}

static __always_inline long ql_push(u32 lane, s32 *pid)
{
	if (lane == 0)
		return bpf_map_push_elem(&ql_high, pid, 0);
	if (lane == 1)
		return bpf_map_push_elem(&ql_normal, pid, 0);
	return bpf_map_push_elem(&ql_low, pid, 0);
}

void SEC("struct_ops/enqueue") BPF_PROG(ql_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 lane = ql_lane_of(p);
	s32 pid = p->pid, cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}

	if (ql_push(lane, &pid))
		scx_bpf_dsq_insert(p, QL_DOOR, SCX_SLICE_DFL, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static __always_inline bool ql_let_in(void *lane, u32 quota, u64 slice)
{
	struct task_struct *p;
	u32 i, n = 0;
	s32 pid;

	for (i = 0; i < QL_MOST; i++) {
		if (n >= quota)
			break;
		if (bpf_map_pop_elem(lane, &pid))
			break;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, QL_DOOR, slice, 0);
		bpf_task_release(p);
		n++;
	}
	return n > 0;
}

void SEC("struct_ops/dispatch") BPF_PROG(ql_dispatch, s32 cpu, struct task_struct *prev)
{
	bool any;

	if (scx_bpf_dsq_move_to_local(QL_DOOR))
		return;

	any = ql_let_in(&ql_high, ql_config[0].quota, ql_config[0].slice_us * 1000ULL);
	any |= ql_let_in(&ql_normal, ql_config[1].quota, ql_config[1].slice_us * 1000ULL);
	any |= ql_let_in(&ql_low, ql_config[2].quota, ql_config[2].slice_us * 1000ULL);
	if (any)
		scx_bpf_dsq_move_to_local(QL_DOOR);
}

s32 SEC("struct_ops.s/init") BPF_PROG(ql_init)
{
	return scx_bpf_create_dsq(QL_DOOR, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops quotas_ops = {
	.enqueue = (void *)ql_enqueue,
	.dispatch = (void *)ql_dispatch,
	.init = (void *)ql_init,
	.name = "quotas",
};
