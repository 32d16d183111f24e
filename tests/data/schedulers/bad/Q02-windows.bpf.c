// SPDX-License-Identifier: GPL-2.0
/*
 * Q02: a timer flips a window every 3 ms; in the odd windows dispatch() serves only kernel work
 * and returns without touching the main queue, so about half of all dispatches of user tasks are
 * skipped. The kick at each flip hides it: only throughput and latency suffer. Stopped at
 * Bytecode or Dynamic.
 */
/*
 * Time windows: kernel work gets windows of its own and a turn in the others.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAIN_DSQ	0x10
#define KERN_DSQ	0x11
#define WINDOW_NS	3000000ULL
#define MAX_CPUS	512

struct wd_timer {
	struct bpf_timer timer;
	u64 round;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct wd_timer);
} windows SEC(".maps");

static u32 nr_cpus;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = 4000000ULL * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 16000000 ? 16000000 : s;
}

static int wake_some(u32 i, void *arg)
{
	const struct cpumask *online = scx_bpf_get_online_cpumask();
	s32 cpu = scx_bpf_pick_idle_cpu(online, 0);

	scx_bpf_put_cpumask(online);
	if (cpu < 0)
		return 1;
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	return 0;
}

static int next_window(void *map, int *key, struct wd_timer *wt)
{
	s32 waiting = scx_bpf_dsq_nr_queued(MAIN_DSQ);

	wt->round++;
	if (waiting > 0)
		bpf_loop((u32)waiting < nr_cpus ? waiting : nr_cpus, wake_some, 0, 0);
	bpf_timer_start(&wt->timer, WINDOW_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(wd_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(wd_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, (p->flags & PF_KTHREAD) ? KERN_DSQ : MAIN_DSQ, slice_of(p),
			   enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(wd_dispatch, s32 cpu, struct task_struct *prev)
{
	struct wd_timer *wt;
	u32 zero = 0;

	wt = bpf_map_lookup_elem(&windows, &zero);
	if (wt && (wt->round & 1)) {
		scx_bpf_dsq_move_to_local(KERN_DSQ);
		return;
	}
	if (scx_bpf_dsq_move_to_local(MAIN_DSQ))
		return;
	scx_bpf_dsq_move_to_local(KERN_DSQ);
}

s32 SEC("struct_ops.s/init") BPF_PROG(wd_init)
{
	struct wd_timer *wt;
	u32 zero = 0;
	s32 err;

	nr_cpus = scx_bpf_nr_cpu_ids();
	err = scx_bpf_create_dsq(MAIN_DSQ, -1);
	if (err)
		return err;
	err = scx_bpf_create_dsq(KERN_DSQ, -1);
	if (err)
		return err;
	wt = bpf_map_lookup_elem(&windows, &zero);
	if (!wt)
		return -2;
	bpf_timer_init(&wt->timer, &windows, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&wt->timer, next_window);
	return bpf_timer_start(&wt->timer, WINDOW_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops wd_ops = {
	.select_cpu = (void *)wd_select_cpu,
	.enqueue = (void *)wd_enqueue,
	.dispatch = (void *)wd_dispatch,
	.init = (void *)wd_init,
	.name = "windows",
};
