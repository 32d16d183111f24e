// SPDX-License-Identifier: GPL-2.0
/*
 * Q10: every 100 ms the process with the most wakeups becomes "foreground"; its threads are
 * always served first, everything else gets one dispatch in 32 (enough to keep the watchdog
 * quiet). A wake-up benchmark shines while its neighbours get about 3 % of the machine. Stopped
 * at Bytecode or Dynamic or Replay. Replayed as a service as busy as its neighbours.
 */
/*
 * Foreground detection by wake-up rate.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define FG_DSQ		1
#define BG_DSQ		2
#define ROUND_NS	100000000ULL
#define BG_EVERY	32

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u32);
	__type(value, u64);
} wakeups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} turns SEC(".maps");

struct fg_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct fg_timer);
} fg_timers SEC(".maps");

struct fg_best {
	u64 count;
	u32 tgid;
};

static u32 fg_tgid;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = 4000000ULL * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 12000000 ? 12000000 : s;
}

static __always_inline bool in_foreground(struct task_struct *p)
{
	return fg_tgid && (u32)p->tgid == fg_tgid;
}

static long compare(struct bpf_map *map, const void *key, void *value, void *ctx)
{
	struct fg_best *best = ctx;
	u64 *count = value;

	if (*count > best->count) {
		best->count = *count;
		best->tgid = *(const u32 *)key;
	}
	*count = 0;
	return 0;
}

static int elect(void *map, int *key, struct fg_timer *ft)
{
	struct fg_best best = {};

	bpf_for_each_map_elem(&wakeups, compare, &best, 0);
	if (best.count >= 10)
		fg_tgid = best.tgid;
	else
		fg_tgid = 0;
	bpf_timer_start(&ft->timer, ROUND_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(fg_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(fg_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if (p->flags & PF_KTHREAD) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, in_foreground(p) ? FG_DSQ : BG_DSQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(fg_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, *turn;

	turn = bpf_map_lookup_elem(&turns, &zero);
	if (turn && ++*turn % BG_EVERY == 0 && scx_bpf_dsq_move_to_local(BG_DSQ))
		return;
	if (scx_bpf_dsq_move_to_local(FG_DSQ))
		return;
	scx_bpf_dsq_move_to_local(BG_DSQ);
}

void SEC("struct_ops/runnable") BPF_PROG(fg_runnable, struct task_struct *p, u64 enq_flags)
{
	u32 tgid = p->tgid;
	u64 one = 1, *count;

	if (!(enq_flags & SCX_ENQ_WAKEUP) || (p->flags & PF_KTHREAD))
		return;
	count = bpf_map_lookup_elem(&wakeups, &tgid);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&wakeups, &tgid, &one, BPF_ANY);
}

s32 SEC("struct_ops.s/init") BPF_PROG(fg_init)
{
	struct fg_timer *ft;
	u32 zero = 0;
	s32 err;

	err = scx_bpf_create_dsq(FG_DSQ, -1);
	if (!err)
		err = scx_bpf_create_dsq(BG_DSQ, -1);
	if (err)
		return err;
	ft = bpf_map_lookup_elem(&fg_timers, &zero);
	if (!ft)
		return -2;
	bpf_timer_init(&ft->timer, &fg_timers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&ft->timer, elect);
	return bpf_timer_start(&ft->timer, ROUND_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops fg_ops = {
	.select_cpu = (void *)fg_select_cpu,
	.enqueue = (void *)fg_enqueue,
	.dispatch = (void *)fg_dispatch,
	.runnable = (void *)fg_runnable,
	.init = (void *)fg_init,
	.name = "foreground",
};
