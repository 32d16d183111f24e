// SPDX-License-Identifier: GPL-2.0
/*
 * Four levels with feedback: whoever uses its slice up sinks by one, whoever sleeps rises to the
 * top. Lower levels have longer slices. Each CPU begins its look at the top, but with every fourth
 * task one level lower than the time before, so that every level is first in its turn.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LEVEL_BASE 0x20
#define LEVELS	   4

enum { NO_MEMORY = 12 };

struct level_ctx {
	u32 level;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct level_ctx);
} levels SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} looks SEC(".maps");

struct scan {
	u32 first;
};

static long look_at_level(u32 step, struct scan *scan)
{
	if (scx_bpf_dsq_move_to_local(LEVEL_BASE + (scan->first + step) % LEVELS))
		return 1;
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(levels_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 2000000, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(levels_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct level_ctx *tctx = bpf_task_storage_get(&levels, p, 0, 0);
	u32 level = tctx ? tctx->level % LEVELS : LEVELS - 1;
	s32 idle;

	scx_bpf_dsq_insert(p, LEVEL_BASE + level, 2000000ULL << level, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(levels_dispatch, s32 cpu, struct task_struct *prev)
{
	struct scan scan = {};
	u32 zero = 0;
	u32 *look = bpf_map_lookup_elem(&looks, &zero);

	if (look) {
		*look += 1;
		if (*look % 4 == 0)
			scan.first = *look / 4 % LEVELS;
	}
	bpf_loop(LEVELS, look_at_level, &scan, 0);
}

void SEC("struct_ops/stopping") BPF_PROG(levels_stopping, struct task_struct *p, bool runnable)
{
	struct level_ctx *tctx = bpf_task_storage_get(&levels, p, 0, 0);

	if (tctx && runnable && !p->scx.slice && tctx->level < LEVELS - 1)
		tctx->level += 1;
}

void SEC("struct_ops/quiescent") BPF_PROG(levels_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct level_ctx *tctx = bpf_task_storage_get(&levels, p, 0, 0);

	if (tctx && (deq_flags & SCX_DEQ_SLEEP))
		tctx->level = 0;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(levels_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&levels, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -NO_MEMORY;
}

s32 SEC("struct_ops.s/init") BPF_PROG(levels_init)
{
	u32 level;
	s32 err = 0;

	bpf_for (level, 0, LEVELS) {
		err = err ?: scx_bpf_create_dsq(LEVEL_BASE + level, -1);
	}
	return err;
}

SEC(".struct_ops.link")
struct sched_ext_ops levels_ops = {
	.select_cpu = (void *)levels_select_cpu,
	.enqueue = (void *)levels_enqueue,
	.dispatch = (void *)levels_dispatch,
	.stopping = (void *)levels_stopping,
	.quiescent = (void *)levels_quiescent,
	.init_task = (void *)levels_init_task,
	.init = (void *)levels_init,
	.name = "feedback_levels",
};
