// SPDX-License-Identifier: GPL-2.0
/*
 * T15: who yields goes back to the head of the queue with a new turn, so that a storm of yielding
 * starves the rest. Stopped at Bytecode or Dynamic.
 */
/*
 * courtesy: FIFO; who yields is not punished for it but continues with what was left as soon as the
 * others have had a look.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CO_QUEUE 0x44ULL
#define CO_SLICE (8ULL * 1000 * 1000)
#define CO_LEAST (CO_SLICE / 2)

struct co_task {
	u64 left; /* of the slice, when it yielded */
	u32 yielded;
	u32 yields;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct co_task);
} co_tasks SEC(".maps");

bool SEC("struct_ops/yield") BPF_PROG(co_yield, struct task_struct *from, struct task_struct *to)
{
	struct co_task *t =
		bpf_task_storage_get(&co_tasks, from, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (t) {
		t->left = from->scx.slice;
		if (t->left < CO_LEAST)
			t->left = CO_LEAST;
		t->yielded = 1;
		t->yields++;
	}
	from->scx.slice = 0;
	return false;
}

void SEC("struct_ops/enqueue") BPF_PROG(co_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct co_task *t = bpf_task_storage_get(&co_tasks, p, 0, 0);
	u64 slice = CO_SLICE;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice, enq_flags);
		return;
	}

	if (t && t->yielded) {
		t->yielded = 0;
		slice = t->left;
		enq_flags |= SCX_ENQ_HEAD;
	}
	scx_bpf_dsq_insert(p, CO_QUEUE, slice, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/quiescent") BPF_PROG(co_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct co_task *t;

	/* a sleep ends the claim */
	if (!(deq_flags & SCX_DEQ_SLEEP))
		return;
	t = bpf_task_storage_get(&co_tasks, p, 0, 0);
	if (t)
		t->yielded = 0;
}

void SEC("struct_ops/dispatch") BPF_PROG(co_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(CO_QUEUE);
}

s32 SEC("struct_ops.s/init") BPF_PROG(co_init)
{
	return scx_bpf_create_dsq(CO_QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops courtesy_ops = {
	.yield = (void *)co_yield,
	.enqueue = (void *)co_enqueue,
	.quiescent = (void *)co_quiescent,
	.dispatch = (void *)co_dispatch,
	.init = (void *)co_init,
	.name = "courtesy",
};
