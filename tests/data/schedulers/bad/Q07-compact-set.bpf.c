// SPDX-License-Identifier: GPL-2.0
/*
 * Q07: the set of CPUs in use never exceeds half of the machine under any load. Stopped at
 * Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Keeps small loads on few CPUs so that the others can sleep deeply: a timer sets how many CPUs are
 * in use from the number of runnable tasks. Tasks with a restricted affinity have a queue on their
 * own CPU and run anywhere.
 */
#define PF_KTHREAD	 0x00200000
#define CLOCK_MONOTONIC	 1
#define MAX_CPUS	 128
#define THREADS_PER_CORE 2
#define SHAREDQ		 0x99ULL
#define OWNQ(cpu)	 (0x1000ULL + (u32)(cpu))
#define BASE_SLICE	 8000000ULL
#define ADJUST_NS	 10000000ULL

struct cs_cpu {
	u32 flip;
};

struct cs_adjust {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cs_cpu);
} cs_cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct cs_adjust);
} cs_adjusts SEC(".maps");

static u32 nr_cpus = 1;
static u32 in_use = 1;
static s64 nr_runnable;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 32000000 ? 32000000 : s;
}

static __always_inline s32 idle_in_use(struct task_struct *p)
{
	u32 i;

	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= in_use)
			break;
		if (bpf_cpumask_test_cpu(i, p->cpus_ptr) && scx_bpf_test_and_clear_cpu_idle(i))
			return i;
	}
	return -1;
}

static int cs_adjust_fn(void *map, u32 *key, struct cs_adjust *ad)
{
	u32 i, most = nr_cpus / THREADS_PER_CORE, want = nr_runnable > 1 ? nr_runnable : 1;

	if (!most)
		most = 1;
	in_use = want < most ? want : most;

	if (scx_bpf_dsq_nr_queued(SHAREDQ) > 0) {
		for (i = 0; i < MAX_CPUS; i++) {
			if (i >= in_use)
				break;
			scx_bpf_kick_cpu(i, SCX_KICK_IDLE);
		}
	}
	bpf_timer_start(&ad->timer, ADJUST_NS, 0);
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(cs_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu;

	if (p->nr_cpus_allowed < nr_cpus) {
		cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
		if (idle)
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return cpu;
	}
	if ((u32)prev_cpu < in_use && scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		cpu = prev_cpu;
	else
		cpu = idle_in_use(p);
	if (cpu >= 0) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
		return cpu;
	}
	return (u32)prev_cpu < in_use ? prev_cpu : (s32)((u32)p->pid % in_use);
}

void SEC("struct_ops/enqueue") BPF_PROG(cs_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (p->nr_cpus_allowed < nr_cpus) {
		if ((p->flags & PF_KTHREAD) || (enq_flags & SCX_ENQ_LAST) || (u32)cpu >= nr_cpus) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
			return;
		}
		scx_bpf_dsq_insert(p, OWNQ(cpu), slice_of(p), enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	if ((enq_flags & SCX_ENQ_LAST) && (u32)cpu < in_use) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, SHAREDQ, slice_of(p), enq_flags);
	cpu = idle_in_use(p);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(cs_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0;
	struct cs_cpu *c = bpf_map_lookup_elem(&cs_cpus, &key);
	bool own_first = c && (c->flip ^= 1);

	if ((u32)cpu >= nr_cpus)
		return;
	if (own_first && scx_bpf_dsq_move_to_local(OWNQ(cpu)))
		return;
	if ((u32)cpu < in_use && scx_bpf_dsq_move_to_local(SHAREDQ))
		return;
	scx_bpf_dsq_move_to_local(OWNQ(cpu));
}

void SEC("struct_ops/runnable") BPF_PROG(cs_runnable, struct task_struct *p, u64 enq_flags)
{
	__sync_fetch_and_add(&nr_runnable, 1);
}

void SEC("struct_ops/quiescent") BPF_PROG(cs_quiescent, struct task_struct *p, u64 deq_flags)
{
	__sync_fetch_and_add(&nr_runnable, -1);
}

s32 SEC("struct_ops.s/init") BPF_PROG(cs_init)
{
	u32 i, key = 0, nr = scx_bpf_nr_cpu_ids();
	struct cs_adjust *ad;
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	err = scx_bpf_create_dsq(SHAREDQ, -1);
	if (err)
		return err;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(OWNQ(i), -1);
		if (err)
			return err;
	}
	nr_cpus = nr;

	ad = bpf_map_lookup_elem(&cs_adjusts, &key);
	if (!ad)
		return -2;
	bpf_timer_init(&ad->timer, &cs_adjusts, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&ad->timer, cs_adjust_fn);
	return bpf_timer_start(&ad->timer, ADJUST_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops cs_ops = {
	.select_cpu = (void *)cs_select_cpu,
	.enqueue = (void *)cs_enqueue,
	.dispatch = (void *)cs_dispatch,
	.runnable = (void *)cs_runnable,
	.quiescent = (void *)cs_quiescent,
	.init = (void *)cs_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "compact_set",
};
