// SPDX-License-Identifier: GPL-2.0
/*
 * Q16: the target frequency is computed from the utilisation of a window of 100 us, but with the
 * run time of a whole burst; anything longer than 100 us saturates, and the decay runs only when
 * a smaller value comes, so every CPU that works asks for the maximum all the time. Stopped at
 * Bytecode.
 */
/*
 * Global weighted FIFO which drives the frequency by utilisation.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD 0x00200000
#define FIFO_DSQ   0xcf
#define MAX_CPUS   512
#define WINDOW_NS  100000ULL
#define PERF_ONE   1024

struct ut_cpu {
	u32 target;
	u32 changes;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MAX_CPUS);
	__type(key, u32);
	__type(value, struct ut_cpu);
} ut_cpus SEC(".maps");

struct ut_task {
	u64 mark;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ut_task);
} ut_tasks SEC(".maps");

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = 8000000ULL * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 30000000 ? 30000000 : s;
}

static __always_inline void update_target(s32 cpu, u64 ran)
{
	u64 util = ran * PERF_ONE / WINDOW_NS;
	u32 key = cpu, target;
	struct ut_cpu *c;

	c = bpf_map_lookup_elem(&ut_cpus, &key);
	if (!c)
		return;
	if (util > PERF_ONE)
		util = PERF_ONE;
	/* up at once, down slowly */
	target = util > c->target ? util : c->target - ((c->target - (u32)util) >> 5);
	if (target != c->target) {
		c->target = target;
		c->changes++;
	}
	scx_bpf_cpuperf_set(cpu, target);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ut_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ut_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, FIFO_DSQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ut_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(FIFO_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(ut_running, struct task_struct *p)
{
	struct ut_task *t = bpf_task_storage_get(&ut_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (t)
		t->mark = p->se.sum_exec_runtime;
}

void SEC("struct_ops/stopping") BPF_PROG(ut_stopping, struct task_struct *p, bool runnable)
{
	struct ut_task *t = bpf_task_storage_get(&ut_tasks, p, 0, 0);

	if (t)
		update_target(scx_bpf_task_cpu(p), p->se.sum_exec_runtime - t->mark);
}

s32 SEC("struct_ops.s/init") BPF_PROG(ut_init)
{
	return scx_bpf_create_dsq(FIFO_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops ut_ops = {
	.select_cpu = (void *)ut_select_cpu,
	.enqueue = (void *)ut_enqueue,
	.dispatch = (void *)ut_dispatch,
	.running = (void *)ut_running,
	.stopping = (void *)ut_stopping,
	.init = (void *)ut_init,
	.name = "utilisation",
};
