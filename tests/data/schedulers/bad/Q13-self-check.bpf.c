// SPDX-License-Identifier: GPL-2.0
/*
 * Q13: leaves without a word after eight windows with a mean wait above 3 ms. Stopped at Bytecode
 * or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* FIFO with weighted slices that keeps an eye on the service it gives. */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAINQ		0x11ULL
#define BASE_SLICE	8000000ULL
#define WINDOW_NS	250000000ULL
#define GOOD_WAIT	3000000ULL
#define MAX_POOR	8

struct sc_task {
	u64 queued_at;
};

struct sc_watch {
	struct bpf_timer timer;
	u64 waited;
	u64 starts;
	u32 poor;
	u32 windows;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sc_task);
} sc_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sc_watch);
} sc_watches SEC(".maps");

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 32000000 ? 32000000 : s;
}

static int sc_watch_fn(void *map, u32 *key, struct sc_watch *w)
{
	static char msg[] = "service level";
	unsigned long long none[1] = {};
	u64 mean = w->starts ? w->waited / w->starts : 0;

	w->waited = 0;
	w->starts = 0;
	w->windows++;
	w->poor = mean > GOOD_WAIT ? w->poor + 1 : 0;
	if (w->poor >= MAX_POOR)
		scx_bpf_exit_bstr(0, msg, none, sizeof(none));
	else
		bpf_timer_start(&w->timer, WINDOW_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sc_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sc_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct sc_task *t;
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	t = bpf_task_storage_get(&sc_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (t)
		t->queued_at = scx_bpf_now();
	scx_bpf_dsq_insert(p, MAINQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sc_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(MAINQ);
}

void SEC("struct_ops/running") BPF_PROG(sc_running, struct task_struct *p)
{
	struct sc_task *t = bpf_task_storage_get(&sc_tasks, p, 0, 0);
	u64 now = scx_bpf_now();
	struct sc_watch *w;
	u32 key = 0;

	if (!t || !t->queued_at)
		return;
	w = bpf_map_lookup_elem(&sc_watches, &key);
	if (w && (s64)(now - t->queued_at) > 0) {
		__sync_fetch_and_add(&w->waited, now - t->queued_at);
		__sync_fetch_and_add(&w->starts, 1);
	}
	t->queued_at = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(sc_init)
{
	struct sc_watch *w;
	u32 key = 0;
	s32 err = scx_bpf_create_dsq(MAINQ, -1);

	if (err)
		return err;
	w = bpf_map_lookup_elem(&sc_watches, &key);
	if (!w)
		return -2;
	bpf_timer_init(&w->timer, &sc_watches, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&w->timer, sc_watch_fn);
	return bpf_timer_start(&w->timer, WINDOW_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops sc_ops = {
	.select_cpu = (void *)sc_select_cpu,
	.enqueue = (void *)sc_enqueue,
	.dispatch = (void *)sc_dispatch,
	.running = (void *)sc_running,
	.init = (void *)sc_init,
	.name = "self_check",
};
