// SPDX-License-Identifier: GPL-2.0
/*
 * Long 20 ms slices while nobody waits; the tick ends a slice as soon as others wait and the task
 * has had its weighted minimum (3..12 ms).
 */
/*
 * FIFO with slices decided at the tick. The queue is looked at while a task
 * runs: if there are waiters and it has run for its share, its slice is ended.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TK_DSQ 0x71c

const volatile u64 tk_long_ns = 20000000ULL;
const volatile u64 tk_share_ns = 4000000ULL;
const volatile u64 tk_share_min_ns = 3000000ULL;
const volatile u64 tk_share_max_ns = 12000000ULL;

struct tk_run {
	u64 exec_mark;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tk_run);
} tk_runs SEC(".maps");

static __always_inline u64 tk_share(const struct task_struct *p)
{
	u64 share = tk_share_ns * p->scx.weight / 100;

	if (share < tk_share_min_ns)
		share = tk_share_min_ns;
	if (share > tk_share_max_ns)
		share = tk_share_max_ns;
	return share;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(tk_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, tk_long_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(tk_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, TK_DSQ, tk_long_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(tk_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(TK_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(tk_running, struct task_struct *p)
{
	struct tk_run *r = bpf_task_storage_get(&tk_runs, p, 0, 0);

	if (r)
		r->exec_mark = p->se.sum_exec_runtime;
}

void SEC("struct_ops/tick") BPF_PROG(tk_tick, struct task_struct *p)
{
	struct tk_run *r;
	s32 cpu = scx_bpf_task_cpu(p);
	u64 used = tk_share_max_ns;

	if (scx_bpf_dsq_nr_queued(TK_DSQ) <= 0 &&
	    scx_bpf_dsq_nr_queued(SCX_DSQ_LOCAL_ON | (u64)cpu) <= 0)
		return;

	r = bpf_task_storage_get(&tk_runs, p, 0, 0);
	if (r)
		used = p->se.sum_exec_runtime - r->exec_mark;
	if (used >= tk_share(p))
		p->scx.slice = 0;
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(tk_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct tk_run *r;

	r = bpf_task_storage_get(&tk_runs, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (r)
		r->exec_mark = p->se.sum_exec_runtime;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(tk_init)
{
	return scx_bpf_create_dsq(TK_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops tk_ops = {
	.select_cpu = (void *)tk_select_cpu,
	.enqueue = (void *)tk_enqueue,
	.dispatch = (void *)tk_dispatch,
	.running = (void *)tk_running,
	.tick = (void *)tk_tick,
	.init_task = (void *)tk_init_task,
	.init = (void *)tk_init,
	.name = "tick_check",
};
