// SPDX-License-Identifier: GPL-2.0
/*
 * Three-level feedback queue; a timer lifts everything that waits below to the top level each 250
 * ms, and every eighth dispatch begins at the bottom.
 */
/*
 * Multi-level feedback: a task that uses up its slice sinks one level, one
 * that sleeps before rises one. The boost is real: waiting tasks are moved,
 * and an epoch tells each task that its level is void.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#ifndef CLOCK_MONOTONIC
#define CLOCK_MONOTONIC 1
#endif

#define FB_LEVELS   3
#define FB_TOP	    0x900
#define FB_MIDDLE   0x901
#define FB_BOTTOM   0x902
#define FB_BOOST_NS (250 * 1000 * 1000ULL)

const volatile u64 fb_slice_ns = 3500 * 1000ULL;

struct fb_task {
	u64 epoch;
	u64 exec_mark;
	u32 level;
};

struct fb_clock {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct fb_task);
} fb_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct fb_clock);
} fb_clocks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} fb_turns SEC(".maps");

u64 fb_epoch = 1;

static __always_inline u32 fb_level(struct task_struct *p)
{
	struct fb_task *t = bpf_task_storage_get(&fb_tasks, p, 0, 0);

	if (!t)
		return 0;
	if (t->epoch != fb_epoch) {
		t->epoch = fb_epoch;
		t->level = 0;
	}
	return t->level < FB_LEVELS ? t->level : FB_LEVELS - 1;
}

static __always_inline u64 fb_slice(u32 level)
{
	return level == 0 ? fb_slice_ns : level == 1 ? fb_slice_ns * 2 : fb_slice_ns * 3;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(fb_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, fb_slice(fb_level(p)), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(fb_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 level = fb_level(p);
	s32 cpu;

	scx_bpf_dsq_insert(p, FB_TOP + level, fb_slice(level), enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(fb_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u32 *turn = bpf_map_lookup_elem(&fb_turns, &zero);

	if (turn && (++*turn & 7) == 0) {
		if (scx_bpf_dsq_move_to_local(FB_BOTTOM))
			return;
		if (scx_bpf_dsq_move_to_local(FB_MIDDLE))
			return;
	}

	if (scx_bpf_dsq_move_to_local(FB_TOP))
		return;
	if (scx_bpf_dsq_move_to_local(FB_MIDDLE))
		return;
	scx_bpf_dsq_move_to_local(FB_BOTTOM);
}

void SEC("struct_ops/running") BPF_PROG(fb_running, struct task_struct *p)
{
	struct fb_task *t = bpf_task_storage_get(&fb_tasks, p, 0, 0);

	if (t)
		t->exec_mark = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(fb_stopping, struct task_struct *p, bool runnable)
{
	struct fb_task *t = bpf_task_storage_get(&fb_tasks, p, 0, 0);
	u64 used;

	if (!t)
		return;
	used = p->se.sum_exec_runtime - t->exec_mark;

	if (runnable && used >= fb_slice(t->level)) {
		if (t->level < FB_LEVELS - 1)
			t->level++;
	} else if (!runnable && used < fb_slice_ns) {
		if (t->level > 0)
			t->level--;
	}
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(fb_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	bpf_task_storage_get(&fb_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

static __always_inline void fb_lift(u64 dsq)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;

	bpf_iter_scx_dsq_new(&it, dsq, 0);
	while ((p = bpf_iter_scx_dsq_next(&it)))
		scx_bpf_dsq_move(&it, p, FB_TOP, 0);
	bpf_iter_scx_dsq_destroy(&it);
}

static int fb_boost(void *map, int *key, struct fb_clock *clk)
{
	__sync_fetch_and_add(&fb_epoch, 1);

	bpf_rcu_read_lock();
	fb_lift(FB_BOTTOM);
	fb_lift(FB_MIDDLE);
	bpf_rcu_read_unlock();

	bpf_timer_start(&clk->timer, FB_BOOST_NS, 0);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(fb_init)
{
	struct fb_clock *clk;
	u32 zero = 0, i;
	s32 err;

	for (i = 0; i < FB_LEVELS; i++) {
		err = scx_bpf_create_dsq(FB_TOP + i, -1);
		if (err)
			return err;
	}

	clk = bpf_map_lookup_elem(&fb_clocks, &zero);
	if (!clk)
		return -2;
	err = bpf_timer_init(&clk->timer, &fb_clocks, CLOCK_MONOTONIC);
	if (err)
		return err;
	err = bpf_timer_set_callback(&clk->timer, fb_boost);
	if (err)
		return err;
	return bpf_timer_start(&clk->timer, FB_BOOST_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops fb_ops = {
	.select_cpu = (void *)fb_select_cpu,
	.enqueue = (void *)fb_enqueue,
	.dispatch = (void *)fb_dispatch,
	.running = (void *)fb_running,
	.stopping = (void *)fb_stopping,
	.init_task = (void *)fb_init_task,
	.init = (void *)fb_init,
	.name = "feedback_boost",
};
