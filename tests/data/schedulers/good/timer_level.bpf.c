// SPDX-License-Identifier: GPL-2.0
/*
 * Per-CPU FIFO queues levelled by a timer every 10 ms (moves allowed tasks from the longest to the
 * shortest online queue); idle CPUs also steal at once, and every sixth turn goes to a foreign
 * queue.
 */
/*
 * The timer does the slow levelling, dispatch the quick help. CPUs whose
 * number is beyond the table share queues with others.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

#define LVL_QUEUES    32
#define LVL_BASE      0x1e00
#define LVL_PERIOD_NS 10000000ULL
#define LVL_MOVES     8

const volatile u64 lvl_slice_ns = 3500000ULL;

struct lvl_clock {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lvl_clock);
} lvl_clocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} lvl_turns SEC(".maps");

/* only the timer uses these */
u32 lvl_full_cpu, lvl_free_cpu;
s32 lvl_full_nr, lvl_free_nr;

static __always_inline u64 lvl_queue(s32 cpu)
{
	return LVL_BASE + (u32)cpu % LVL_QUEUES;
}

static __always_inline bool lvl_foreign(u32 start)
{
	u32 i;

	for (i = 0; i < LVL_QUEUES; i++) {
		u64 q = LVL_BASE + (start + i) % LVL_QUEUES;

		if (scx_bpf_dsq_nr_queued(q) <= 0)
			continue;
		if (scx_bpf_dsq_move_to_local(q))
			return true;
	}
	return false;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lvl_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, lvl_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lvl_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, lvl_queue(scx_bpf_task_cpu(p)), lvl_slice_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lvl_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, turn = 1;
	u32 *t = bpf_map_lookup_elem(&lvl_turns, &zero);

	if (t) {
		*t += 1;
		turn = *t;
	}

	if (turn % 6 == 0 && lvl_foreign(turn / 6))
		return;
	if (scx_bpf_dsq_move_to_local(lvl_queue(cpu)))
		return;
	lvl_foreign((u32)cpu + 1);
}

static __always_inline void lvl_survey(const struct cpumask *online)
{
	u32 i;

	lvl_full_nr = -1;
	lvl_free_nr = 1 << 30;

	for (i = 0; i < LVL_QUEUES; i++) {
		s32 nr;

		if (!bpf_cpumask_test_cpu(i, online))
			continue;
		nr = scx_bpf_dsq_nr_queued(LVL_BASE + i);
		if (nr > lvl_full_nr) {
			lvl_full_nr = nr;
			lvl_full_cpu = i;
		}
		if (nr < lvl_free_nr) {
			lvl_free_nr = nr;
			lvl_free_cpu = i;
		}
	}
}

static int lvl_even_out(void *map, int *key, struct lvl_clock *clk)
{
	struct bpf_iter_scx_dsq it;
	const struct cpumask *online;
	struct task_struct *p;
	u32 to, moved = 0;
	s32 gap;

	online = scx_bpf_get_online_cpumask();
	lvl_survey(online);
	scx_bpf_put_cpumask(online);

	gap = lvl_full_nr - lvl_free_nr;
	to = lvl_free_cpu;
	if (lvl_full_nr < 2 || gap < 2)
		goto out;

	bpf_rcu_read_lock();
	/* the youngest change places, the oldest keep theirs */
	bpf_iter_scx_dsq_new(&it, LVL_BASE + (lvl_full_cpu % LVL_QUEUES), SCX_DSQ_ITER_REV);
	while ((p = bpf_iter_scx_dsq_next(&it))) {
		if (!bpf_cpumask_test_cpu(to, p->cpus_ptr))
			continue;
		if (scx_bpf_dsq_move(&it, p, lvl_queue(to), 0)) {
			gap -= 2;
			if (++moved >= LVL_MOVES || gap < 2)
				break;
		}
	}
	bpf_iter_scx_dsq_destroy(&it);
	bpf_rcu_read_unlock();

	if (moved)
		scx_bpf_kick_cpu(to, SCX_KICK_IDLE);
out:
	bpf_timer_start(&clk->timer, LVL_PERIOD_NS, 0);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(lvl_init)
{
	struct lvl_clock *clk;
	u32 zero = 0, i;
	s32 err;

	for (i = 0; i < LVL_QUEUES; i++) {
		err = scx_bpf_create_dsq(LVL_BASE + i, -1);
		if (err)
			return err;
	}

	clk = bpf_map_lookup_elem(&lvl_clocks, &zero);
	if (!clk)
		return -2;
	bpf_timer_init(&clk->timer, &lvl_clocks, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&clk->timer, lvl_even_out);
	return bpf_timer_start(&clk->timer, LVL_PERIOD_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops lvl_ops = {
	.select_cpu = (void *)lvl_select_cpu,
	.enqueue = (void *)lvl_enqueue,
	.dispatch = (void *)lvl_dispatch,
	.init = (void *)lvl_init,
	.name = "timer_level",
};
