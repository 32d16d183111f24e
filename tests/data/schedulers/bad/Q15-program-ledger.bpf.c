// SPDX-License-Identifier: GPL-2.0
/*
 * Q15: the key has the hash of a task's name, so that whoever has changed it is never struck out.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* FIFO whose slices follow what the ledger says about a task's bursts under its current program. */
#define PF_KTHREAD 0x00200000
#define MAINQ	   0x31ULL
#define MIN_SLICE  2000000ULL
#define DFL_SLICE  6000000ULL
#define MAX_SLICE  24000000ULL

struct pl_key {
	u32 pid;
	u32 program;
};

struct pl_entry {
	u64 bursts;
	u64 total;
	u64 longest;
	u64 last_seen;
};

struct pl_task {
	u64 began;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct pl_key);
	__type(value, struct pl_entry);
} pl_ledger SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pl_task);
} pl_tasks SEC(".maps");

static __always_inline void key_of(struct task_struct *p, struct pl_key *k)
{
	u64 name[2] = {};

	bpf_probe_read_kernel(name, sizeof(name), p->comm);
	name[0] ^= name[1] * 0x9e3779b97f4a7c15ULL;
	name[0] *= 0xff51afd7ed558ccdULL;
	k->pid = p->pid;
	k->program = name[0] >> 32;
}

static __always_inline u64 slice_of(struct task_struct *p)
{
	struct pl_entry *e;
	struct pl_key k;
	u64 s = DFL_SLICE;

	key_of(p, &k);
	e = bpf_map_lookup_elem(&pl_ledger, &k);
	if (e && e->bursts)
		s = 2 * e->total / e->bursts;
	s = s * p->scx.weight / 100;
	return s < MIN_SLICE ? MIN_SLICE : s > MAX_SLICE ? MAX_SLICE : s;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(pl_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(pl_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, DFL_SLICE, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, MAINQ, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(pl_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(MAINQ);
}

void SEC("struct_ops/running") BPF_PROG(pl_running, struct task_struct *p)
{
	struct pl_task *t = bpf_task_storage_get(&pl_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (t)
		t->began = scx_bpf_now();
}

void SEC("struct_ops/stopping") BPF_PROG(pl_stopping, struct task_struct *p, bool runnable)
{
	struct pl_task *t = bpf_task_storage_get(&pl_tasks, p, 0, 0);
	struct pl_entry *e, first = {};
	u64 now = scx_bpf_now(), ran;
	struct pl_key k;

	if (!t || !t->began || (p->flags & PF_KTHREAD))
		return;
	ran = now - t->began;
	key_of(p, &k);
	e = bpf_map_lookup_elem(&pl_ledger, &k);
	if (!e) {
		first.bursts = 1;
		first.total = ran;
		first.longest = ran;
		first.last_seen = now;
		bpf_map_update_elem(&pl_ledger, &k, &first, BPF_NOEXIST);
		return;
	}
	e->bursts++;
	e->total += ran;
	e->last_seen = now;
	if (ran > e->longest)
		e->longest = ran;
	if (e->bursts >= 64) {
		e->bursts /= 2;
		e->total /= 2;
	}
}

void SEC("struct_ops/exit_task")
	BPF_PROG(pl_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct pl_key k;

	key_of(p, &k);
	bpf_map_delete_elem(&pl_ledger, &k);
}

s32 SEC("struct_ops.s/init") BPF_PROG(pl_init)
{
	return scx_bpf_create_dsq(MAINQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops pl_ops = {
	.select_cpu = (void *)pl_select_cpu,
	.enqueue = (void *)pl_enqueue,
	.dispatch = (void *)pl_dispatch,
	.running = (void *)pl_running,
	.stopping = (void *)pl_stopping,
	.exit_task = (void *)pl_exit_task,
	.init = (void *)pl_init,
	.name = "program_ledger",
};
