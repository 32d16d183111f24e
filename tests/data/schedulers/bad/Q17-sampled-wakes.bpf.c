// SPDX-License-Identifier: GPL-2.0
/*
 * Q17: one wakeup in 512 is parked until a timer of 60 ms opens a side queue. Stopped at Bytecode
 * or Dynamic or Replay. Replayed as a service with long requests.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Virtual time queue; woken tasks with short bursts are queued a little ahead. A sample of the
 * wake-ups goes through a side queue, where the system's reaction can be measured without the short
 * cuts.
 */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAX_CPUS	256
#define MAINQ		0x1ULL
#define SIDEQ		0x2ULL
#define SLICE_NS	4000000ULL
#define DEBT_NS		150000000ULL
#define SAMPLE_MASK	511
#define OPEN_NS		60000000ULL
#define SHORT_BURST	1000000ULL

struct sw_task {
	u64 vt;
	u64 began;
	u64 burst;
	u64 sampled_at;
};

struct sw_stats {
	struct bpf_timer timer;
	u64 open;
	u64 samples;
	u64 delay_sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sw_task);
} sw_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sw_stats);
} sw_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} sw_wakes SEC(".maps");

static u64 vclock;
static u32 nr_cpus = 1;

static __always_inline struct sw_stats *stats(void)
{
	u32 key = 0;

	return bpf_map_lookup_elem(&sw_stats, &key);
}

static int sw_open_fn(void *map, u32 *key, struct sw_stats *s)
{
	s32 n = scx_bpf_dsq_nr_queued(SIDEQ);
	u32 i;

	s->open = n > 0 ? n : 0;
	for (i = 0; s->open && i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		scx_bpf_kick_cpu(i, SCX_KICK_IDLE);
	}
	bpf_timer_start(&s->timer, OPEN_NS, 0);
	return 0;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = SLICE_NS * p->scx.weight / 100;

	if (s < 1ULL * 1000000)
		return 1ULL * 1000000;
	return s > 16ULL * 1000000 ? 16ULL * 1000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sw_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct sw_task *t = bpf_task_storage_get(&sw_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	u32 key = 0;
	u64 *n = bpf_map_lookup_elem(&sw_wakes, &key);

	if (t && n && !(p->flags & PF_KTHREAD) && (++*n & SAMPLE_MASK) == 0)
		t->sampled_at = scx_bpf_now();
	else if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sw_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct sw_task *t = bpf_task_storage_get(&sw_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u64 vt;
	s32 cpu;

	if (!t || ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if (t->sampled_at) {
		scx_bpf_dsq_insert(p, SIDEQ, slice_of(p), enq_flags);
		return;
	}
	if ((s64)(t->vt - (vclock - SLICE_NS)) < 0)
		t->vt = vclock - SLICE_NS;
	if ((s64)(t->vt - (vclock + DEBT_NS)) > 0)
		t->vt = vclock + DEBT_NS;
	vt = t->vt;
	if ((enq_flags & SCX_ENQ_WAKEUP) && t->burst < SHORT_BURST)
		vt -= SLICE_NS;
	scx_bpf_dsq_insert_vtime(p, MAINQ, slice_of(p), vt, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sw_dispatch, s32 cpu, struct task_struct *prev)
{
	struct sw_stats *s = stats();

	if (s && s->open && scx_bpf_dsq_move_to_local(SIDEQ)) {
		if (s->open)
			s->open--;
		return;
	}
	scx_bpf_dsq_move_to_local(MAINQ);
}

void SEC("struct_ops/running") BPF_PROG(sw_running, struct task_struct *p)
{
	struct sw_task *t = bpf_task_storage_get(&sw_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct sw_stats *s = stats();

	if (!t)
		return;
	t->began = scx_bpf_now();
	if ((s64)(t->vt - vclock) > 0)
		vclock = t->vt;
	if (t->sampled_at && s) {
		__sync_fetch_and_add(&s->samples, 1);
		__sync_fetch_and_add(&s->delay_sum, t->began - t->sampled_at);
	}
	t->sampled_at = 0;
}

void SEC("struct_ops/stopping") BPF_PROG(sw_stopping, struct task_struct *p, bool runnable)
{
	struct sw_task *t = bpf_task_storage_get(&sw_tasks, p, 0, 0);
	u32 weight = p->scx.weight;
	u64 ran;

	if (!t || !t->began || !weight)
		return;
	ran = scx_bpf_now() - t->began;
	t->vt += ran * 100 / weight;
	t->burst = (t->burst * 3 + ran) / 4;
}

s32 SEC("struct_ops.s/init") BPF_PROG(sw_init)
{
	struct sw_stats *s = stats();
	s32 err = scx_bpf_create_dsq(MAINQ, -1);

	if (!err)
		err = scx_bpf_create_dsq(SIDEQ, -1);
	if (err)
		return err;
	nr_cpus = scx_bpf_nr_cpu_ids();
	if (!s)
		return -2;
	bpf_timer_init(&s->timer, &sw_stats, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&s->timer, sw_open_fn);
	return bpf_timer_start(&s->timer, OPEN_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops sw_ops = {
	.select_cpu = (void *)sw_select_cpu,
	.enqueue = (void *)sw_enqueue,
	.dispatch = (void *)sw_dispatch,
	.running = (void *)sw_running,
	.stopping = (void *)sw_stopping,
	.init = (void *)sw_init,
	.name = "sampled_wakes",
};
