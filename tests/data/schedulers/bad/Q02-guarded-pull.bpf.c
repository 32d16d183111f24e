// SPDX-License-Identifier: GPL-2.0
/*
 * Q02: a guard against coming in twice is not lifted where a task was found, so that every second
 * dispatch returns empty. Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a
 * batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Shared FIFO with weighted slices, a queue for each CPU's pinned tasks, and a slow timer that
 * wakes idle CPUs if anything was missed. */
#define PF_KTHREAD	0x00200000
#define CLOCK_MONOTONIC 1
#define MAX_CPUS	128
#define MAINQ		1ULL
#define PINQ(cpu)	(0x100ULL + (u32)(cpu))
#define BASE_SLICE	8000000ULL
#define SWEEP_NS	4000000ULL

struct gp_cpu {
	u32 serving;
	u32 flip;
	u64 pulls;
};

struct gp_sweep {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct gp_cpu);
} gp_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct gp_sweep);
} gp_sweeps SEC(".maps");

static u32 nr_cpus = 1;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 32000000 ? 32000000 : s;
}

static int gp_sweep_fn(void *map, u32 *key, struct gp_sweep *sw)
{
	bool shared = scx_bpf_dsq_nr_queued(MAINQ) > 0;
	u32 i;

	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		if (shared || scx_bpf_dsq_nr_queued(PINQ(i)) > 0)
			scx_bpf_kick_cpu(i, SCX_KICK_IDLE);
	}
	bpf_timer_start(&sw->timer, SWEEP_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(gp_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(gp_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (p->nr_cpus_allowed == 1) {
		if ((p->flags & PF_KTHREAD) || (u32)cpu >= nr_cpus) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
			return;
		}
		scx_bpf_dsq_insert(p, PINQ(cpu), slice_of(p), enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, MAINQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(gp_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0;
	struct gp_cpu *c = bpf_map_lookup_elem(&gp_cpus, &key);

	if (!c || (u32)cpu >= nr_cpus) {
		scx_bpf_dsq_move_to_local(MAINQ);
		return;
	}

	/* a pull may drop the runqueue lock: a nested call has nothing to add to the outer one */
	if (c->serving) {
		c->serving = 0;
		return;
	}
	c->serving = 1;
	c->flip ^= 1;

	if (c->flip && scx_bpf_dsq_move_to_local(PINQ(cpu)))
		return;
	if (scx_bpf_dsq_move_to_local(MAINQ)) {
		c->pulls++;
		return;
	}
	if (!c->flip && scx_bpf_dsq_move_to_local(PINQ(cpu)))
		return;
	c->serving = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(gp_init)
{
	u32 i, key = 0, nr = scx_bpf_nr_cpu_ids();
	struct gp_sweep *sw;
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	err = scx_bpf_create_dsq(MAINQ, -1);
	if (err)
		return err;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(PINQ(i), -1);
		if (err)
			return err;
	}
	nr_cpus = nr;

	sw = bpf_map_lookup_elem(&gp_sweeps, &key);
	if (!sw)
		return -2;
	bpf_timer_init(&sw->timer, &gp_sweeps, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&sw->timer, gp_sweep_fn);
	return bpf_timer_start(&sw->timer, SWEEP_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops gp_ops = {
	.select_cpu = (void *)gp_select_cpu,
	.enqueue = (void *)gp_enqueue,
	.dispatch = (void *)gp_dispatch,
	.init = (void *)gp_init,
	.name = "guarded_pull",
};
