// SPDX-License-Identifier: GPL-2.0
/*
 * Q03: after a task goes to sleep its CPU takes nothing from the queue for 1.5 ms (anticipating
 * that the sleeper comes back), although others wait. A timer wakes it up afterwards, so nothing
 * stalls. Shows as idle time with a non-empty queue for mixes of sleepers and hogs. Stopped at
 * Bytecode or Dynamic.
 */
/*
 * Anticipatory FIFO: tasks which sleep for an instant only (pipes, locks) find
 * their CPU free and warm on return.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define AF_DSQ		0x1234
#define MAX_CPUS	512
#define HOLD_NS		1500000ULL
#define ROUND_NS	1000000ULL

struct af_cpu {
	u64 hold_until;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct af_cpu);
} af_cpus SEC(".maps");

struct af_timer {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct af_timer);
} af_timers SEC(".maps");

static u32 nr_cpus;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = 8000000ULL * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 30000000 ? 30000000 : s;
}

static int end_hold(u32 i, void *arg)
{
	u64 *now = arg;
	u32 cpu = i;
	struct af_cpu *c = bpf_map_lookup_elem(&af_cpus, &cpu);

	if (!c || !c->hold_until || *now < c->hold_until)
		return 0;
	c->hold_until = 0;
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	return 0;
}

static int af_round(void *map, int *key, struct af_timer *at)
{
	u64 now = bpf_ktime_get_ns();

	if (scx_bpf_dsq_nr_queued(AF_DSQ) > 0)
		bpf_loop(nr_cpus, end_hold, &now, 0);
	bpf_timer_start(&at->timer, ROUND_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(af_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(af_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, AF_DSQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(af_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = cpu;
	struct af_cpu *c = bpf_map_lookup_elem(&af_cpus, &key);

	if (c && c->hold_until && bpf_ktime_get_ns() < c->hold_until)
		return;
	scx_bpf_dsq_move_to_local(AF_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(af_running, struct task_struct *p)
{
	u32 cpu = scx_bpf_task_cpu(p);
	struct af_cpu *c = bpf_map_lookup_elem(&af_cpus, &cpu);

	if (c)
		c->hold_until = 0;
}

void SEC("struct_ops/stopping") BPF_PROG(af_stopping, struct task_struct *p, bool runnable)
{
	u32 cpu = scx_bpf_task_cpu(p);
	struct af_cpu *c;

	if (runnable || (p->flags & PF_KTHREAD))
		return;
	c = bpf_map_lookup_elem(&af_cpus, &cpu);
	if (c)
		c->hold_until = bpf_ktime_get_ns() + HOLD_NS;
}

s32 SEC("struct_ops.s/init") BPF_PROG(af_init)
{
	struct af_timer *at;
	u32 zero = 0;
	s32 err;

	nr_cpus = scx_bpf_nr_cpu_ids();
	err = scx_bpf_create_dsq(AF_DSQ, -1);
	if (err)
		return err;
	at = bpf_map_lookup_elem(&af_timers, &zero);
	if (!at)
		return -2;
	bpf_timer_init(&at->timer, &af_timers, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&at->timer, af_round);
	return bpf_timer_start(&at->timer, ROUND_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops af_ops = {
	.select_cpu = (void *)af_select_cpu,
	.enqueue = (void *)af_enqueue,
	.dispatch = (void *)af_dispatch,
	.running = (void *)af_running,
	.stopping = (void *)af_stopping,
	.init = (void *)af_init,
	.name = "anticipate",
};
