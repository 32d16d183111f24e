// SPDX-License-Identifier: GPL-2.0
/*
 * A synchronous wakeup puts the wakee behind its waker on the same CPU, but only when no allowed
 * CPU idles, nobody else waits, the local queue is empty and the waker is an ordinary task.
 */
/*
 * Pipelines pass work from hand to hand: the waker is about to sleep and its
 * data are warm. The hand-over never takes place while others wait, so a pair
 * of tasks cannot keep a CPU for themselves.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HO_SHARED      0x808
#define HO_MAX_RT_PRIO 100
#define HO_PF_EXITING  0x00000004

const volatile u64 ho_slice_ns = 3500000ULL;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, u32);
	__type(value, u64);
} ho_counts SEC(".maps");

static __always_inline void ho_count(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&ho_counts, &what);

	if (n)
		*n += 1;
}

static __always_inline bool ho_possible(struct task_struct *p, u64 wake_flags, s32 cpu)
{
	struct task_struct *waker;

	if (!(wake_flags & SCX_WAKE_SYNC))
		return false;
	if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
		return false;

	waker = bpf_get_current_task_btf();
	if (waker->prio < HO_MAX_RT_PRIO || (waker->flags & HO_PF_EXITING))
		return false;

	return scx_bpf_dsq_nr_queued(HO_SHARED) == 0 &&
	       scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | (u64)cpu) == 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ho_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 here = bpf_get_smp_processor_id();
	bool idle = false;
	s32 cpu;

	/* without the sync flag: only a truly idle CPU will do */
	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags & ~(u64)SCX_WAKE_SYNC, &idle);
	if (idle) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, ho_slice_ns, 0);
		ho_count(0);
		return cpu;
	}

	if (ho_possible(p, wake_flags, here)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, ho_slice_ns, 0);
		ho_count(1);
		return here;
	}
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ho_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, HO_SHARED, ho_slice_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ho_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(HO_SHARED);
}

/* the waker did not sleep after all: a tick is as long as the wakee waits */
void SEC("struct_ops/tick") BPF_PROG(ho_tick, struct task_struct *p)
{
	u64 local = SCX_DSQ_LOCAL_ON | (u64)scx_bpf_task_cpu(p);

	if (scx_bpf_dsq_nr_queued(local) > 0)
		p->scx.slice = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ho_init)
{
	return scx_bpf_create_dsq(HO_SHARED, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops ho_ops = {
	.select_cpu = (void *)ho_select_cpu,
	.enqueue = (void *)ho_enqueue,
	.dispatch = (void *)ho_dispatch,
	.tick = (void *)ho_tick,
	.init = (void *)ho_init,
	.name = "sync_handoff",
};
