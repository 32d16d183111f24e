// SPDX-License-Identifier: GPL-2.0
/*
 * Q02: a mask of turns by a timer is the wrong way round and bars half of the CPUs from taking
 * tasks at any moment. Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a
 * batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Weighted virtual time in one shared queue; the CPUs take turns at it so that its lock does not
 * bounce. */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAX_CPUS	256
#define MAINQ		0x51ULL
#define SLICE_NS	6000000ULL
#define DEBT_NS		200000000ULL
#define TURN_NS		2000000ULL

struct sp_turn {
	struct bpf_timer timer;
	u64 mask;
};

struct sp_task {
	u64 vt;
	u64 began;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sp_turn);
} sp_turns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sp_task);
} sp_tasks SEC(".maps");

static u64 vclock;
static u32 nr_cpus = 1;

static int sp_next_turn(void *map, u32 *key, struct sp_turn *tn)
{
	u32 i;

	tn->mask = ~tn->mask;
	if (scx_bpf_dsq_nr_queued(MAINQ) > 0) {
		for (i = 0; i < MAX_CPUS; i++) {
			if (i >= nr_cpus)
				break;
			if ((tn->mask >> (i & 63)) & 1)
				scx_bpf_kick_cpu(i, SCX_KICK_IDLE);
		}
	}
	bpf_timer_start(&tn->timer, TURN_NS, 0);
	return 0;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = SLICE_NS * p->scx.weight / 100;

	if (s < 2ULL * 1000000)
		return 2ULL * 1000000;
	return s > 24ULL * 1000000 ? 24ULL * 1000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sp_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sp_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct sp_task *t;
	s32 idle;

	t = bpf_task_storage_get(&sp_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t || ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if ((s64)(t->vt - (vclock - SLICE_NS)) < 0)
		t->vt = vclock - SLICE_NS;
	if ((s64)(t->vt - (vclock + DEBT_NS)) > 0)
		t->vt = vclock + DEBT_NS;
	scx_bpf_dsq_insert_vtime(p, MAINQ, slice_of(p), t->vt, enq_flags);

	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sp_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0;
	struct sp_turn *tn = bpf_map_lookup_elem(&sp_turns, &key);

	if (tn && !((tn->mask >> ((u32)cpu & 63)) & 1))
		return;
	scx_bpf_dsq_move_to_local(MAINQ);
}

void SEC("struct_ops/running") BPF_PROG(sp_running, struct task_struct *p)
{
	struct sp_task *t = bpf_task_storage_get(&sp_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if ((s64)(t->vt - vclock) > 0)
		vclock = t->vt;
}

void SEC("struct_ops/stopping") BPF_PROG(sp_stopping, struct task_struct *p, bool runnable)
{
	struct sp_task *t = bpf_task_storage_get(&sp_tasks, p, 0, 0);
	u32 weight = p->scx.weight;

	if (t && t->began && weight)
		t->vt += (scx_bpf_now() - t->began) * 100 / weight;
}

s32 SEC("struct_ops.s/init") BPF_PROG(sp_init)
{
	struct sp_turn *tn;
	u32 key = 0;
	s32 err = scx_bpf_create_dsq(MAINQ, -1);

	if (err)
		return err;
	nr_cpus = scx_bpf_nr_cpu_ids();
	tn = bpf_map_lookup_elem(&sp_turns, &key);
	if (!tn)
		return -2;
	tn->mask = 0x5555555555555555ULL;
	bpf_timer_init(&tn->timer, &sp_turns, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&tn->timer, sp_next_turn);
	return bpf_timer_start(&tn->timer, TURN_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops sp_ops = {
	.select_cpu = (void *)sp_select_cpu,
	.enqueue = (void *)sp_enqueue,
	.dispatch = (void *)sp_dispatch,
	.running = (void *)sp_running,
	.stopping = (void *)sp_stopping,
	.init = (void *)sp_init,
	.name = "staggered_pull",
};
