// SPDX-License-Identifier: GPL-2.0
/*
 * R05: a place of 8 bits with -1 for none becomes the local queue of CPU 255 after a change of
 * affinity. Stopped at Bytecode or Attach or Dynamic.
 */
/*
 * lastplace: a woken task returns to the CPU it last ran on if not much waits there, else it joins
 * the shared queue.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LP_SHARED 0x8ULL
#define LP_SLICE  (6ULL * 1000 * 1000)
#define LP_SHORT  2
#define NO_PLACE  (-1)

struct lp_task {
	u8 place; /* CPU, or NO_PLACE */
	u8 home_runs;
	u16 pad;
	u32 returns;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct lp_task);
} lp_tasks SEC(".maps");

s32 SEC("struct_ops/init_task")
	BPF_PROG(lp_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct lp_task *t = bpf_task_storage_get(&lp_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u32 cpu = scx_bpf_task_cpu(p);

	if (!t)
		return -12;
	if (!bpf_cpumask_test_cpu(cpu, p->cpus_ptr))
		cpu = bpf_cpumask_any_distribute(p->cpus_ptr);
	t->place = cpu;
	return 0;
}

void SEC("struct_ops/set_cpumask")
	BPF_PROG(lp_set_cpumask, struct task_struct *p, const struct cpumask *mask)
{
	struct lp_task *t = bpf_task_storage_get(&lp_tasks, p, 0, 0);

	/* a place it may no longer use is no place */
	if (t && !bpf_cpumask_test_cpu(t->place, mask))
		t->place = (u8)NO_PLACE;
}

static __always_inline s32 lp_place_of(struct lp_task *t)
{
	return t->place;
}

void SEC("struct_ops/enqueue") BPF_PROG(lp_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct lp_task *t = bpf_task_storage_get(&lp_tasks, p, 0, 0);
	s32 place = NO_PLACE, cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, LP_SLICE, enq_flags);
		return;
	}

	if (t && (enq_flags & SCX_ENQ_WAKEUP))
		place = lp_place_of(t);

	if (t && place != NO_PLACE &&
	    scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | (u32)place) < LP_SHORT) {
		t->returns++;
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | (u32)place, LP_SLICE, enq_flags);
		return;
	}

	scx_bpf_dsq_insert(p, LP_SHARED, LP_SLICE, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lp_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(LP_SHARED);
}

void SEC("struct_ops/running") BPF_PROG(lp_running, struct task_struct *p)
{
	struct lp_task *t = bpf_task_storage_get(&lp_tasks, p, 0, 0);
	s32 cpu = scx_bpf_task_cpu(p);

	if (!t)
		return;
	if (t->place == (u8)cpu)
		t->home_runs++;
	t->place = cpu;
}

s32 SEC("struct_ops.s/init") BPF_PROG(lp_init)
{
	/* places are bytes */
	if (scx_bpf_nr_cpu_ids() > 128)
		return -7;
	return scx_bpf_create_dsq(LP_SHARED, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops lastplace_ops = {
	.init_task = (void *)lp_init_task,
	.set_cpumask = (void *)lp_set_cpumask,
	.enqueue = (void *)lp_enqueue,
	.dispatch = (void *)lp_dispatch,
	.running = (void *)lp_running,
	.init = (void *)lp_init,
	.name = "lastplace",
};
