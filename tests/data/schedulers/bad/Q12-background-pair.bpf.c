// SPDX-License-Identifier: GPL-2.0
/*
 * Q12: background work is confined to the CPUs 2 and 3, which are written into the code. Stopped
 * at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Foreground work anywhere, background work on its own CPUs so that it does not heat up the others.
 */
#define PF_KTHREAD   0x00200000
#define POLICY_BATCH 3
#define POLICY_IDLE  5
#define FOREQ	     0x1ULL
#define BACKQ	     0x2ULL
#define BACK_FIRST   2
#define BACK_LAST    3
#define BASE_SLICE   8000000ULL

struct bp_cpu {
	u32 turn;
	u32 back;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bp_cpu);
} bp_cpus SEC(".maps");

static u32 nr_cpus = 1;

static __always_inline bool for_background(u32 cpu)
{
	return cpu - BACK_FIRST <= BACK_LAST - BACK_FIRST;
}

static __always_inline bool is_background(struct task_struct *p)
{
	if (nr_cpus <= BACK_LAST || (p->flags & PF_KTHREAD))
		return false;
	if (!bpf_cpumask_test_cpu(BACK_FIRST, p->cpus_ptr) ||
	    !bpf_cpumask_test_cpu(BACK_LAST, p->cpus_ptr))
		return false;
	return p->scx.weight < 100 || p->policy == POLICY_BATCH || p->policy == POLICY_IDLE;
}

static __always_inline s32 idle_for_background(void)
{
	u32 i;

	for (i = BACK_FIRST; i <= BACK_LAST; i++) {
		if (scx_bpf_test_and_clear_cpu_idle(i))
			return i;
	}
	return -1;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 32000000 ? 32000000 : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(bp_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu;

	if (is_background(p)) {
		cpu = idle_for_background();
		if (cpu < 0)
			return for_background((u32)prev_cpu) ? prev_cpu : BACK_FIRST + (p->pid & 1);
		idle = true;
	} else {
		cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	}
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(bp_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if (is_background(p)) {
		if ((enq_flags & SCX_ENQ_LAST) && for_background((u32)scx_bpf_task_cpu(p))) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
			return;
		}
		scx_bpf_dsq_insert(p, BACKQ, slice_of(p), enq_flags);
		cpu = idle_for_background();
	} else {
		if (enq_flags & SCX_ENQ_LAST) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
			return;
		}
		scx_bpf_dsq_insert(p, FOREQ, slice_of(p), enq_flags);
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	}
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(bp_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0;
	struct bp_cpu *c = bpf_map_lookup_elem(&bp_cpus, &key);

	if (!for_background((u32)cpu)) {
		scx_bpf_dsq_move_to_local(FOREQ);
		return;
	}
	/* every third turn belongs to the background */
	if (c && ++c->turn % 3 == 0 && scx_bpf_dsq_move_to_local(BACKQ)) {
		c->back++;
		return;
	}
	if (!scx_bpf_dsq_move_to_local(FOREQ))
		scx_bpf_dsq_move_to_local(BACKQ);
}

s32 SEC("struct_ops.s/init") BPF_PROG(bp_init)
{
	s32 err = scx_bpf_create_dsq(FOREQ, -1);

	nr_cpus = scx_bpf_nr_cpu_ids();
	return err ? err : scx_bpf_create_dsq(BACKQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops bp_ops = {
	.select_cpu = (void *)bp_select_cpu,
	.enqueue = (void *)bp_enqueue,
	.dispatch = (void *)bp_dispatch,
	.init = (void *)bp_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "background_pair",
};
