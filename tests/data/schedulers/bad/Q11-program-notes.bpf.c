// SPDX-License-Identifier: GPL-2.0
/*
 * Q11: hashes of the names of benchmarks give a fourfold slice and a charge of one eighth. Stopped
 * at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/*
 * Weighted virtual time. Programs are told apart by a hash of their name, and those with a known
 * steady behaviour get parameters that suit them; the notes are refreshed when a program changes
 * its name.
 */
#define PF_KTHREAD 0x00200000
#define COMM_LEN   16
#define QUEUE	   3ULL
#define SLICE_NS   5000000ULL
#define DEBT_NS	   200000000ULL

struct pn_task {
	u64 vt;
	u64 began;
	u32 program;
	u32 steady;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pn_task);
} pn_tasks SEC(".maps");

static const u32 steady[] = {
	0x64753684, 0x4d2dbbe8, 0x8fd62bff, 0xb3a80e36,
	0xce56c80d, 0xc9e4a6ad, 0x7e2764a6, 0x39d85172,
};

static u64 vclock;

static __always_inline u32 program_of(struct task_struct *p)
{
	char comm[COMM_LEN] = {};
	u32 i, h = 0x811c9dc5;

	bpf_probe_read_kernel(comm, sizeof(comm), p->comm);
	for (i = 0; i < COMM_LEN - 1; i++) {
		if (!comm[i])
			break;
		h = (h ^ (u8)comm[i]) * 0x01000193;
	}
	return h;
}

static __always_inline void refresh(struct task_struct *p, struct pn_task *t)
{
	u32 i, h = program_of(p);

	if (h == t->program)
		return;
	t->program = h;
	t->steady = 0;
	for (i = 0; i < sizeof(steady) / sizeof(steady[0]); i++) {
		if (steady[i] == h)
			t->steady = 1;
	}
}

static __always_inline u64 slice_of(struct pn_task *t)
{
	return t && t->steady ? 4 * SLICE_NS : SLICE_NS;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(pn_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct pn_task *t = bpf_task_storage_get(&pn_tasks, p, 0, 0);
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(t), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(pn_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct pn_task *t = bpf_task_storage_get(&pn_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	s32 cpu;

	if (!t || ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SLICE_NS, enq_flags);
		return;
	}
	refresh(p, t);
	if ((s64)(t->vt - (vclock - SLICE_NS)) < 0)
		t->vt = vclock - SLICE_NS;
	if ((s64)(t->vt - (vclock + DEBT_NS)) > 0)
		t->vt = vclock + DEBT_NS;
	scx_bpf_dsq_insert_vtime(p, QUEUE, slice_of(t), t->vt, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(pn_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(pn_running, struct task_struct *p)
{
	struct pn_task *t = bpf_task_storage_get(&pn_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!t)
		return;
	t->began = scx_bpf_now();
	if ((s64)(t->vt - vclock) > 0)
		vclock = t->vt;
}

void SEC("struct_ops/stopping") BPF_PROG(pn_stopping, struct task_struct *p, bool runnable)
{
	struct pn_task *t = bpf_task_storage_get(&pn_tasks, p, 0, 0);
	u32 weight = p->scx.weight;
	u64 cost;

	if (!t || !t->began || !weight)
		return;
	cost = (scx_bpf_now() - t->began) * 100 / weight;
	if (t->steady)
		cost >>= 3;
	t->vt += cost;
}

s32 SEC("struct_ops.s/init") BPF_PROG(pn_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops pn_ops = {
	.select_cpu = (void *)pn_select_cpu,
	.enqueue = (void *)pn_enqueue,
	.dispatch = (void *)pn_dispatch,
	.running = (void *)pn_running,
	.stopping = (void *)pn_stopping,
	.init = (void *)pn_init,
	.name = "program_notes",
};
