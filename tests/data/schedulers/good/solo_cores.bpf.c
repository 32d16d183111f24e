// SPDX-License-Identifier: GPL-2.0
/*
 * terse; whole idle cores before busy siblings, one queue ordered by arrival time plus a
 * bounded, weight-scaled handicap.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define CPU_MASK   1023
#define ALL_Q	   4096ULL
#define OWN_Q(c)   ((u64)((u32)(c) & CPU_MASK))

const volatile u64 slice_ns = 4000000;
const volatile u64 handicap_max_ns = 200000000;

struct solo_task {
	u64 from, burst;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct solo_task);
} stor SEC(".maps");

static u8 flip[CPU_MASK + 1];

static __always_inline s32 solo_idle(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, SCX_PICK_IDLE_CORE);

	return cpu >= 0 ? cpu : scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(solo_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, SCX_PICK_IDLE_CORE);

	if (cpu < 0 && bpf_cpumask_test_cpu(prev_cpu, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(prev_cpu))
		cpu = prev_cpu;
	if (cpu < 0)
		cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu < 0)
		return prev_cpu;
	scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(solo_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct solo_task *t = bpf_task_storage_get(&stor, p, 0, 0);
	u64 late = t ? t->burst * 100 / p->scx.weight : slice_ns;
	s32 cpu;

	if (p->nr_cpus_allowed == 1 && p->flags & PF_KTHREAD) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, enq_flags);
		return;
	}
	if (late > handicap_max_ns)
		late = handicap_max_ns;
	scx_bpf_dsq_insert_vtime(p, p->nr_cpus_allowed == 1 ? OWN_Q(scx_bpf_task_cpu(p)) : ALL_Q,
				 slice_ns, bpf_ktime_get_ns() + late, enq_flags);
	cpu = solo_idle(p);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(solo_dispatch, s32 cpu, struct task_struct *prev)
{
	u8 own = flip[cpu & CPU_MASK] ^= 1;

	if (!scx_bpf_dsq_move_to_local(own ? OWN_Q(cpu) : ALL_Q))
		scx_bpf_dsq_move_to_local(own ? ALL_Q : OWN_Q(cpu));
}

void SEC("struct_ops/running") BPF_PROG(solo_running, struct task_struct *p)
{
	struct solo_task *t = bpf_task_storage_get(&stor, p, 0, 0);

	if (t)
		t->from = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(solo_stopping, struct task_struct *p, bool runnable)
{
	struct solo_task *t = bpf_task_storage_get(&stor, p, 0, 0);

	if (t) /* halves with every stop, so that a phase is forgotten quickly */
		t->burst = t->burst / 2 + (p->se.sum_exec_runtime - t->from);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(solo_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct solo_task *t = bpf_task_storage_get(&stor, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return -12;
	t->burst = slice_ns;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(solo_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 ret = scx_bpf_create_dsq(ALL_Q, -1);

	for (i = 0; i <= CPU_MASK && i < nr && !ret; i++)
		ret = scx_bpf_create_dsq(OWN_Q(i), -1);
	return ret;
}

SEC(".struct_ops.link")
struct sched_ext_ops solo_ops = {
	.select_cpu = (void *)solo_select_cpu,
	.enqueue = (void *)solo_enqueue,
	.dispatch = (void *)solo_dispatch,
	.running = (void *)solo_running,
	.stopping = (void *)solo_stopping,
	.init_task = (void *)solo_init_task,
	.init = (void *)solo_init,
	.name = "solo_cores",
};
