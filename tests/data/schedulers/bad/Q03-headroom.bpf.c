// SPDX-License-Identifier: GPL-2.0
/*
 * Q03: a quarter of the CPUs is always withheld from tasks with long bursts. Stopped at Bytecode
 * or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Two shared queues, short bursts and long bursts, with every eighth turn for the long ones and
 * room for short ones that arrive. */
#define PF_KTHREAD 0x00200000
#define MAX_CPUS   128
#define SHORTQ	   1ULL
#define LONGQ	   2ULL
#define PINQ(cpu)  (0x100ULL + (u32)(cpu))
#define BASE_SLICE 8000000ULL
#define LONG_BURST 3000000ULL

struct hr_task {
	u64 burst;
	u64 cur;
	u64 began;
	u32 counted;
};

struct hr_cpu {
	u32 turn;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hr_task);
} hr_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct hr_cpu);
} hr_cpus SEC(".maps");

static u64 long_running;
static u64 long_limit = 1;
static u32 nr_cpus = 1;

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 1000000 ? 1000000 : s > 32000000 ? 32000000 : s;
}

static __always_inline bool is_long(struct task_struct *p, struct hr_task *t)
{
	return t && t->burst > LONG_BURST && p->nr_cpus_allowed > 1 && !(p->flags & PF_KTHREAD);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(hr_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct hr_task *t = bpf_task_storage_get(&hr_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle && (!is_long(p, t) || long_running < long_limit))
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(hr_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct hr_task *t = bpf_task_storage_get(&hr_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	s32 cpu = scx_bpf_task_cpu(p);
	bool lng = is_long(p, t);
	bool full = lng && long_running >= long_limit;

	if ((enq_flags & SCX_ENQ_LAST) && !full) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if (p->nr_cpus_allowed == 1) {
		if ((p->flags & PF_KTHREAD) || (u32)cpu >= nr_cpus) {
			scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		} else {
			scx_bpf_dsq_insert(p, PINQ(cpu), slice_of(p), enq_flags);
			scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		}
		return;
	}
	scx_bpf_dsq_insert(p, lng ? LONGQ : SHORTQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(hr_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0, turn = 0;
	u64 busy = long_running;
	struct hr_cpu *c = bpf_map_lookup_elem(&hr_cpus, &key);
	struct hr_task *t;

	if (prev) {
		t = bpf_task_storage_get(&hr_tasks, prev, 0, 0);
		if (t && t->counted && busy)
			busy--;
	}
	if (c)
		turn = ++c->turn;

	if ((turn & 1) && (u32)cpu < nr_cpus && scx_bpf_dsq_move_to_local(PINQ(cpu)))
		return;
	if (!(turn & 7) && busy < long_limit && scx_bpf_dsq_move_to_local(LONGQ))
		return;
	if (scx_bpf_dsq_move_to_local(SHORTQ))
		return;
	if (busy < long_limit && scx_bpf_dsq_move_to_local(LONGQ))
		return;
	if ((u32)cpu < nr_cpus)
		scx_bpf_dsq_move_to_local(PINQ(cpu));
}

void SEC("struct_ops/running") BPF_PROG(hr_running, struct task_struct *p)
{
	struct hr_task *t = bpf_task_storage_get(&hr_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if (is_long(p, t) && !t->counted) {
		t->counted = 1;
		__sync_fetch_and_add(&long_running, 1);
	}
}

void SEC("struct_ops/stopping") BPF_PROG(hr_stopping, struct task_struct *p, bool runnable)
{
	struct hr_task *t = bpf_task_storage_get(&hr_tasks, p, 0, 0);

	if (!t || !t->began)
		return;
	if (t->counted) {
		t->counted = 0;
		__sync_fetch_and_add(&long_running, -1);
	}
	t->cur += scx_bpf_now() - t->began;
	if (t->cur > t->burst)
		t->burst = t->cur;
	if (!runnable) {
		t->burst = (t->burst * 3 + t->cur) / 4;
		t->cur = 0;
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(hr_init)
{
	u32 i, spare, nr = scx_bpf_nr_cpu_ids();
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	err = scx_bpf_create_dsq(SHORTQ, -1);
	if (!err)
		err = scx_bpf_create_dsq(LONGQ, -1);
	if (err)
		return err;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(PINQ(i), -1);
		if (err)
			return err;
	}
	nr_cpus = nr;
	spare = nr / 4;
	if (!spare && nr > 1)
		spare = 1;
	long_limit = nr - spare;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops hr_ops = {
	.select_cpu = (void *)hr_select_cpu,
	.enqueue = (void *)hr_enqueue,
	.dispatch = (void *)hr_dispatch,
	.running = (void *)hr_running,
	.stopping = (void *)hr_stopping,
	.init = (void *)hr_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "headroom",
};
