// SPDX-License-Identifier: GPL-2.0
/*
 * Three rungs by recent CPU share of the task, served by a fixed table 0,1,0,2 per CPU with fall-
 * through, all slices short, so no rung can starve.
 */
/*
 * The rung of a task depends on how much of the recent past it spent on a CPU:
 * the more, the lower. The table gives half of the turns to the first rung and
 * a quarter to each of the others.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define RUNG(n)	       (0xa0 + (n))
#define RUNG_WINDOW_NS 100000000ULL

const volatile u64 rung_slice_ns = 3200000ULL;
const volatile u64 rung_light_ns = 5000000ULL; /* per window */
const volatile u64 rung_medium_ns = 25000000ULL;

struct rung_task {
	u64 window_at;
	u64 exec_at; /* sum_exec_runtime when the window began */
	u64 recent;  /* decaying use per window */
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct rung_task);
} rung_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} rung_turns SEC(".maps");

static __always_inline u64 rung_of(struct task_struct *p)
{
	struct rung_task *t = bpf_task_storage_get(&rung_tasks, p, 0, 0);
	u64 now, passed, use;

	if (!t)
		return RUNG(1);

	now = scx_bpf_now();
	passed = now - t->window_at;
	use = p->se.sum_exec_runtime - t->exec_at;

	if ((s64)passed >= (s64)RUNG_WINDOW_NS) {
		t->recent = passed < 4 * RUNG_WINDOW_NS ? (t->recent + use) / 2 : use / 4;
		t->exec_at = p->se.sum_exec_runtime;
		t->window_at = now;
		use = 0;
	}
	if (use < t->recent)
		use = t->recent;

	if (use <= rung_light_ns)
		return RUNG(0);
	return use <= rung_medium_ns ? RUNG(1) : RUNG(2);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(rung_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, rung_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(rung_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	scx_bpf_dsq_insert(p, rung_of(p), rung_slice_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(rung_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 first = RUNG(0);
	u32 zero = 0;
	u32 *turn = bpf_map_lookup_elem(&rung_turns, &zero);

	if (turn) {
		u32 n = (*turn)++ & 3;

		if (n == 1)
			first = RUNG(1);
		else if (n == 3)
			first = RUNG(2);
	}

	if (scx_bpf_dsq_move_to_local(first))
		return;
	if (first != RUNG(0) && scx_bpf_dsq_move_to_local(RUNG(0)))
		return;
	if (first != RUNG(1) && scx_bpf_dsq_move_to_local(RUNG(1)))
		return;
	if (first != RUNG(2))
		scx_bpf_dsq_move_to_local(RUNG(2));
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(rung_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct rung_task *t;

	t = bpf_task_storage_get(&rung_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (t) {
		t->window_at = scx_bpf_now();
		t->exec_at = p->se.sum_exec_runtime;
		/* children begin on the middle rung: forking is no way up */
		t->recent = rung_medium_ns;
	}
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(rung_init)
{
	u32 i;
	s32 err = 0;

	for (i = 0; i < 3 && !err; i++)
		err = scx_bpf_create_dsq(RUNG(i), -1);
	return err;
}

SEC(".struct_ops.link")
struct sched_ext_ops rung_ops = {
	.select_cpu = (void *)rung_select_cpu,
	.enqueue = (void *)rung_enqueue,
	.dispatch = (void *)rung_dispatch,
	.init_task = (void *)rung_init_task,
	.init = (void *)rung_init,
	.name = "ladder_table",
};
