// SPDX-License-Identifier: GPL-2.0
/*
 * Q16: what the target is lowered by is shifted to nothing, so that the speed asked for never
 * falls. Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * FIFO with weighted slices. The frequency target of a CPU rises at once with the demand of the
 * running task (its burst length) and falls slowly, at ticks and at switches.
 */
#define PF_KTHREAD  0x00200000
#define QUEUE	    0x13ULL
#define BASE_SLICE  8000000ULL
#define FULL_BURST  8000000ULL
#define PERF_FLOOR  128
#define DECAY_SHIFT 11

struct sd_task {
	u64 began;
	u64 burst;
	u64 current_burst;
};

struct sd_perf {
	u32 target;
	u32 sent;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct sd_task);
} sd_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct sd_perf);
} sd_perfs SEC(".maps");

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 32000000 ? 32000000 : s;
}

/* bring the target of this CPU up to @demand, or let it fall */
static __always_inline void adjust(struct task_struct *p, u32 demand)
{
	u32 key = 0;
	struct sd_perf *f = bpf_map_lookup_elem(&sd_perfs, &key);

	if (!f)
		return;
	if (demand > f->target)
		f->target = demand;
	else
		f->target -= f->target >> DECAY_SHIFT;
	if (f->target < PERF_FLOOR)
		f->target = PERF_FLOOR;
	if (f->target > SCX_CPUPERF_ONE)
		f->target = SCX_CPUPERF_ONE;
	if (f->target != f->sent) {
		f->sent = f->target;
		scx_bpf_cpuperf_set(scx_bpf_task_cpu(p), f->target);
	}
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(sd_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(sd_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, QUEUE, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(sd_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

static __always_inline u32 demand_of(u64 burst)
{
	u64 d = burst * 1024 / FULL_BURST;

	return d > 1024 ? 1024 : d;
}

void SEC("struct_ops/running") BPF_PROG(sd_running, struct task_struct *p)
{
	struct sd_task *t = bpf_task_storage_get(&sd_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return;
	t->began = scx_bpf_now();
	adjust(p, demand_of(t->burst));
}

void SEC("struct_ops/tick") BPF_PROG(sd_tick, struct task_struct *p)
{
	struct sd_task *t = bpf_task_storage_get(&sd_tasks, p, 0, 0);

	if (t && t->began)
		adjust(p, demand_of(t->current_burst + (scx_bpf_now() - t->began)));
}

void SEC("struct_ops/stopping") BPF_PROG(sd_stopping, struct task_struct *p, bool runnable)
{
	struct sd_task *t = bpf_task_storage_get(&sd_tasks, p, 0, 0);

	if (!t || !t->began)
		return;
	t->current_burst += scx_bpf_now() - t->began;
	if (runnable)
		return;
	t->burst = (t->burst + t->current_burst) / 2;
	t->current_burst = 0;
	adjust(p, 0);
}

s32 SEC("struct_ops.s/init") BPF_PROG(sd_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops sd_ops = {
	.select_cpu = (void *)sd_select_cpu,
	.enqueue = (void *)sd_enqueue,
	.dispatch = (void *)sd_dispatch,
	.running = (void *)sd_running,
	.tick = (void *)sd_tick,
	.stopping = (void *)sd_stopping,
	.init = (void *)sd_init,
	.name = "slow_decay",
};
