// SPDX-License-Identifier: GPL-2.0
/*
 * T10: a penalty for wakeups quadruples without a bound and is practically never forgiven. Stopped
 * at Bytecode or Dynamic.
 */
/*
 * backoff: shared FIFO with a brake for wakeup storms; offenders wait in a queue ordered by release
 * time.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BO_QUEUE      0x61ULL
#define BO_HELD	      0x62ULL
#define BO_MS	      (1000ULL * 1000)
#define BO_WINDOW     (100 * BO_MS)
#define BO_LIMIT      150
#define BO_FIRST      (10 * BO_MS)
#define BO_FORGET     (1000 * BO_MS)
#define BO_POLL	      (4 * BO_MS)
#define BO_SLICE      (5 * BO_MS)
#define BO_CLOCK_MONO 1
#define BO_KTHREAD    0x00200000

struct bo_task {
	u64 window; /* start of the current window */
	u64 wakes;
	u64 delay;   /* last one given */
	u64 release; /* end of the last hold */
};

struct bo_timer {
	struct bpf_timer timer;
	u32 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct bo_task);
} bo_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bo_timer);
} bo_timers SEC(".maps");

static u32 bo_nr_cpus;

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(bo_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	/* no direct dispatch, enqueue has to see every wakeup */
	return cpu >= 0 ? cpu : prev_cpu;
}

static __always_inline u64 bo_hold(struct bo_task *t, u64 now)
{
	if (now - t->window > BO_WINDOW) {
		t->window = now;
		t->wakes = 0;
	}
	if (++t->wakes <= BO_LIMIT)
		return 0;

	if (!t->delay || now > t->release + BO_FORGET)
		t->delay = BO_FIRST;
	else
		t->delay *= 4;
	t->release = now + t->delay;
	t->wakes = 0;
	return t->release;
}

void SEC("struct_ops/enqueue") BPF_PROG(bo_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct bo_task *t;
	u64 until = 0;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, BO_SLICE, enq_flags);
		return;
	}

	t = bpf_task_storage_get(&bo_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (t && (enq_flags & SCX_ENQ_WAKEUP) && !(p->flags & BO_KTHREAD))
		until = bo_hold(t, bpf_ktime_get_ns());
	if (until) {
		scx_bpf_dsq_insert_vtime(p, BO_HELD, BO_SLICE, until, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, BO_QUEUE, BO_SLICE, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static __always_inline bool bo_due(void)
{
	struct bpf_iter_scx_dsq it;
	struct task_struct *p;
	bool due = false;

	bpf_iter_scx_dsq_new(&it, BO_HELD, 0);
	p = bpf_iter_scx_dsq_next(&it);
	if (p && p->scx.dsq_vtime <= bpf_ktime_get_ns())
		due = true;
	bpf_iter_scx_dsq_destroy(&it);
	return due;
}

void SEC("struct_ops/dispatch") BPF_PROG(bo_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_nr_queued(BO_HELD) > 0 && bo_due() && scx_bpf_dsq_move_to_local(BO_HELD))
		return;
	scx_bpf_dsq_move_to_local(BO_QUEUE);
}

static int bo_poll(void *map, int *key, struct bo_timer *t)
{
	u32 i;

	/* released tasks need a CPU that looks for them */
	if (scx_bpf_dsq_nr_queued(BO_HELD) > 0) {
		for (i = 0; i < 4; i++) {
			t->cpu++;
			if (t->cpu >= bo_nr_cpus)
				t->cpu = 0;
			scx_bpf_kick_cpu(t->cpu, SCX_KICK_IDLE);
		}
	}
	bpf_timer_start(&t->timer, BO_POLL, 0);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(bo_init)
{
	struct bo_timer *t;
	u32 zero = 0;
	s32 ret;

	bo_nr_cpus = scx_bpf_nr_cpu_ids();
	ret = scx_bpf_create_dsq(BO_QUEUE, -1);
	if (!ret)
		ret = scx_bpf_create_dsq(BO_HELD, -1);
	if (ret)
		return ret;

	t = bpf_map_lookup_elem(&bo_timers, &zero);
	if (!t)
		return -2;
	bpf_timer_init(&t->timer, &bo_timers, BO_CLOCK_MONO);
	bpf_timer_set_callback(&t->timer, bo_poll);
	return bpf_timer_start(&t->timer, BO_POLL, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops backoff_ops = {
	.select_cpu = (void *)bo_select_cpu,
	.enqueue = (void *)bo_enqueue,
	.dispatch = (void *)bo_dispatch,
	.init = (void *)bo_init,
	.name = "backoff",
};
