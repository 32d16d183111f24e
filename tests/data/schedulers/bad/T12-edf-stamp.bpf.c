// SPDX-License-Identifier: GPL-2.0
/*
 * T12: deadlines are 32-bit stamps in units of 256 ns, put in a 64-bit ordered queue: 18 minutes
 * after loading the stamp wraps to zero, new tasks get ahead of everything queued before, and
 * those starve as long as the machine is overcommitted. Stopped at Bytecode or Dynamic.
 */
/*
 * EDF, deadlines kept compact in the task storage.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PF_KTHREAD  0x00200000
#define EDF_DSQ	    0x99
#define STAMP_SHIFT 8
#define SLICE	    6000000ULL

struct es_task {
	u32 deadline;
	u32 late;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct es_task);
} es_tasks SEC(".maps");

static u64 loaded_at;

static __always_inline u32 stamp(void)
{
	return (bpf_ktime_get_ns() - loaded_at) >> STAMP_SHIFT;
}

/* 20 ms for weight 100, at most 300 ms */
static __always_inline u32 reach(struct task_struct *p)
{
	u64 ns = 2000000000ULL / (p->scx.weight ?: 1);

	if (ns > 300000000ULL)
		ns = 300000000ULL;
	return ns >> STAMP_SHIFT;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(es_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);
	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(es_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 deadline = stamp() + reach(p);
	struct es_task *t;
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, enq_flags);
		return;
	}

	t = bpf_task_storage_get(&es_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (t)
		t->deadline = deadline;
	scx_bpf_dsq_insert_vtime(p, EDF_DSQ, SLICE, deadline, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(es_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(EDF_DSQ);
}

void SEC("struct_ops/running") BPF_PROG(es_running, struct task_struct *p)
{
	struct es_task *t = bpf_task_storage_get(&es_tasks, p, 0, 0);

	if (t && (s32)(t->deadline - stamp()) < 0)
		t->late++;
}

s32 SEC("struct_ops.s/init") BPF_PROG(es_init)
{
	loaded_at = bpf_ktime_get_ns();
	return scx_bpf_create_dsq(EDF_DSQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops es_ops = {
	.select_cpu = (void *)es_select_cpu,
	.enqueue = (void *)es_enqueue,
	.dispatch = (void *)es_dispatch,
	.running = (void *)es_running,
	.init = (void *)es_init,
	.name = "edf_stamp",
};
