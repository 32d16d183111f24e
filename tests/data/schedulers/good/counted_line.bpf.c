// SPDX-License-Identifier: GPL-2.0
/*
 * FIFO with per-CPU statistics (fixed array), exit reason recorded, a clamped tunable as const
 * volatile, hotplug handled by releasing waiting tasks of the leaving CPU.
 */
/*
 * A simple line, but everything is counted: per-CPU counters that user space
 * may read and sum up. Nothing depends on anyone reading them.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define COUNTED_DSQ 0xc0de

#define CNT_LOCAL  0
#define CNT_QUEUED 1
#define CNT_KICKED 2
#define CNT_MOVED  3
#define CNT_EMPTY  4
#define CNT_HANDED 5
#define CNT_NR	   6

const volatile u64 counted_slice_us = 5000;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CNT_NR);
	__type(key, u32);
	__type(value, u64);
} counted_stats SEC(".maps");

s64 counted_exit_kind;

static __always_inline void counted(u32 which)
{
	u64 *v = bpf_map_lookup_elem(&counted_stats, &which);

	if (v)
		(*v)++;
}

static __always_inline u64 counted_slice(void)
{
	u64 us = counted_slice_us;

	/* the tunable is kept in a sane range */
	if (us < 3000)
		us = 3000;
	if (us > 20000)
		us = 20000;
	return us * 1000;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(counted_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, counted_slice(), 0);
		counted(CNT_LOCAL);
	}
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(counted_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, COUNTED_DSQ, counted_slice(), enq_flags);
	counted(CNT_QUEUED);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0) {
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		counted(CNT_KICKED);
	}
}

void SEC("struct_ops/dispatch") BPF_PROG(counted_dispatch, s32 cpu, struct task_struct *prev)
{
	bool moved = scx_bpf_dsq_move_to_local(COUNTED_DSQ);

	counted(moved ? CNT_MOVED : CNT_EMPTY);
}

void SEC("struct_ops/cpu_online") BPF_PROG(counted_cpu_online, s32 cpu)
{
}

void SEC("struct_ops/cpu_offline") BPF_PROG(counted_cpu_offline, s32 cpu)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;

	bpf_iter_scx_dsq_new(&it, COUNTED_DSQ, 0);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		if (scx_bpf_task_cpu(p) == cpu &&
		    scx_bpf_dsq_move(&it, p, SCX_DSQ_LOCAL_ON | (u64)cpu, 0))
			counted(CNT_HANDED);
	}
	bpf_iter_scx_dsq_destroy(&it);
}

s32 SEC("struct_ops.s/init") BPF_PROG(counted_init)
{
	return scx_bpf_create_dsq(COUNTED_DSQ, -1);
}

void SEC("struct_ops/exit") BPF_PROG(counted_exit, struct scx_exit_info *info)
{
	counted_exit_kind = info->kind;
}

SEC(".struct_ops.link")
struct sched_ext_ops counted_ops = {
	.select_cpu = (void *)counted_select_cpu,
	.enqueue = (void *)counted_enqueue,
	.dispatch = (void *)counted_dispatch,
	.cpu_online = (void *)counted_cpu_online,
	.cpu_offline = (void *)counted_cpu_offline,
	.init = (void *)counted_init,
	.exit = (void *)counted_exit,
	.name = "counted_fifo",
};
