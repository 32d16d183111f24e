// SPDX-License-Identifier: GPL-2.0
/*
 * Q12: a mask that is written into the code excludes CPU 0 from all work that is not bound to it.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Workers pull from a shared virtual time queue; the interrupt CPU serves tasks that are bound to
 * it and lends itself to nobody else. */
#define PF_KTHREAD  0x00200000
#define MAX_CPUS    128
#define WORKQ	    0x5000ULL
#define BOUNDQ(cpu) (0x6000ULL + (u32)(cpu))
#define WORKERS	    0xfffffffffffffffeULL
#define SLICE_NS    6000000ULL
#define DEBT_NS	    200000000ULL

struct ic_task {
	u64 vt;
	u64 began;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ic_task);
} ic_tasks SEC(".maps");

static u64 vclock;
static u32 nr_cpus = 1;
static u32 flip;

static __always_inline bool is_worker(u32 cpu)
{
	return nr_cpus == 1 || cpu >= 64 || ((WORKERS >> cpu) & 1);
}

static __always_inline bool restricted(struct task_struct *p)
{
	return p->nr_cpus_allowed < nr_cpus;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = SLICE_NS * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 24000000 ? 24000000 : s;
}

static __always_inline s32 idle_worker(struct task_struct *p, s32 prev)
{
	u32 i, cpu;

	if (is_worker((u32)prev) && scx_bpf_test_and_clear_cpu_idle(prev))
		return prev;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr_cpus)
			break;
		cpu = ((u32)prev + i) % nr_cpus;
		if (is_worker(cpu) && bpf_cpumask_test_cpu(cpu, p->cpus_ptr) &&
		    scx_bpf_test_and_clear_cpu_idle(cpu))
			return cpu;
	}
	return -1;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ic_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu;

	if (restricted(p)) {
		cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	} else {
		cpu = idle_worker(p, prev_cpu);
		idle = cpu >= 0;
		if (!idle)
			cpu = is_worker((u32)prev_cpu) ? prev_cpu : 1 + (u32)p->pid % (nr_cpus - 1);
	}
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ic_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct ic_task *t = bpf_task_storage_get(&ic_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	s32 cpu = scx_bpf_task_cpu(p);
	bool bound = restricted(p);

	if (!t || (bound && (p->flags & PF_KTHREAD)) || (u32)cpu >= nr_cpus ||
	    ((enq_flags & SCX_ENQ_LAST) && (bound || is_worker((u32)cpu)))) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if (bound) {
		scx_bpf_dsq_insert(p, BOUNDQ(cpu), slice_of(p), enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	if ((s64)(t->vt - (vclock - SLICE_NS)) < 0)
		t->vt = vclock - SLICE_NS;
	if ((s64)(t->vt - (vclock + DEBT_NS)) > 0)
		t->vt = vclock + DEBT_NS;
	scx_bpf_dsq_insert_vtime(p, WORKQ, slice_of(p), t->vt, enq_flags);
	cpu = idle_worker(p, cpu);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ic_dispatch, s32 cpu, struct task_struct *prev)
{
	bool known = (u32)cpu < nr_cpus;

	if (known && (++flip & 1) && scx_bpf_dsq_move_to_local(BOUNDQ(cpu)))
		return;
	if (is_worker((u32)cpu) && scx_bpf_dsq_move_to_local(WORKQ))
		return;
	if (known)
		scx_bpf_dsq_move_to_local(BOUNDQ(cpu));
}

void SEC("struct_ops/running") BPF_PROG(ic_running, struct task_struct *p)
{
	struct ic_task *t = bpf_task_storage_get(&ic_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if (!restricted(p) && (s64)(t->vt - vclock) > 0)
		vclock = t->vt;
}

void SEC("struct_ops/stopping") BPF_PROG(ic_stopping, struct task_struct *p, bool runnable)
{
	struct ic_task *t = bpf_task_storage_get(&ic_tasks, p, 0, 0);
	u32 weight = p->scx.weight;

	if (t && t->began && weight)
		t->vt += (scx_bpf_now() - t->began) * 100 / weight;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ic_init)
{
	u32 i, nr = scx_bpf_nr_cpu_ids();
	s32 err;

	if (nr > MAX_CPUS)
		nr = MAX_CPUS;
	err = scx_bpf_create_dsq(WORKQ, -1);
	if (err)
		return err;
	for (i = 0; i < MAX_CPUS; i++) {
		if (i >= nr)
			break;
		err = scx_bpf_create_dsq(BOUNDQ(i), -1);
		if (err)
			return err;
	}
	nr_cpus = nr;
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops ic_ops = {
	.select_cpu = (void *)ic_select_cpu,
	.enqueue = (void *)ic_enqueue,
	.dispatch = (void *)ic_dispatch,
	.running = (void *)ic_running,
	.stopping = (void *)ic_stopping,
	.init = (void *)ic_init,
	.flags = SCX_OPS_ENQ_LAST,
	.name = "irq_core",
};
