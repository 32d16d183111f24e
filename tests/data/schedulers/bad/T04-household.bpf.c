// SPDX-License-Identifier: GPL-2.0
/*
 * T04: the book of a process is closed at the first stop of an exiting task, so that the next
 * enqueue drops it. Stopped at Bytecode or Dynamic.
 */
/*
 * household: threads of one process share one virtual clock, so that processes and not threads get
 * equal shares.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HH_ROOM	   0x91ULL
#define HH_SLICE   (4ULL * 1000 * 1000)
#define HH_EXITING 0x00000004

struct hh_book {
	u64 vtime;
	u64 members;
};

struct hh_task {
	u64 started;
	u32 member;
	u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct hh_book);
} hh_books SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hh_task);
} hh_tasks SEC(".maps");

static u64 hh_now;

static __always_inline void hh_leave(struct hh_task *t, u32 tgid)
{
	struct hh_book *b;

	if (!t->member)
		return;
	t->member = 2;
	b = bpf_map_lookup_elem(&hh_books, &tgid);
	if (!b)
		return;
	__sync_fetch_and_sub(&b->members, 1);
	if (!b->members)
		bpf_map_delete_elem(&hh_books, &tgid);
}

s32 SEC("struct_ops/init_task")
	BPF_PROG(hh_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	struct hh_task *t = bpf_task_storage_get(&hh_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	struct hh_book fresh = {}, *b;
	u32 tgid = p->tgid;

	if (!t)
		return -12;
	fresh.vtime = hh_now;
	bpf_map_update_elem(&hh_books, &tgid, &fresh, BPF_NOEXIST);
	b = bpf_map_lookup_elem(&hh_books, &tgid);
	if (b) {
		__sync_fetch_and_add(&b->members, 1);
		t->member = 1;
	}
	return 0;
}

void SEC("struct_ops/exit_task")
	BPF_PROG(hh_exit_task, struct task_struct *p, struct scx_exit_task_args *args)
{
	struct hh_task *t = bpf_task_storage_get(&hh_tasks, p, 0, 0);

	if (t && t->member == 1)
		hh_leave(t, p->tgid);
}

void SEC("struct_ops/enqueue") BPF_PROG(hh_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct hh_task *t = bpf_task_storage_get(&hh_tasks, p, 0, 0);
	u64 vtime = hh_now;
	u32 tgid = p->tgid;
	s32 cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, HH_SLICE, enq_flags);
		return;
	}

	if (t && t->member) {
		struct hh_book *b = bpf_map_lookup_elem(&hh_books, &tgid);

		/* reaped in the meantime, its threads are on their way out */
		if (!b)
			return;
		if ((s64)(b->vtime - (hh_now - HH_SLICE)) < 0)
			b->vtime = hh_now - HH_SLICE;
		if ((s64)(b->vtime - (hh_now + 8 * HH_SLICE)) > 0)
			b->vtime = hh_now + 8 * HH_SLICE;
		vtime = b->vtime;
	}

	scx_bpf_dsq_insert_vtime(p, HH_ROOM, HH_SLICE, vtime, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(hh_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(HH_ROOM);
}

void SEC("struct_ops/running") BPF_PROG(hh_running, struct task_struct *p)
{
	struct hh_task *t = bpf_task_storage_get(&hh_tasks, p, 0, 0);

	if (t)
		t->started = bpf_ktime_get_ns();
	if ((s64)(p->scx.dsq_vtime - hh_now) > 0)
		hh_now = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(hh_stopping, struct task_struct *p, bool runnable)
{
	struct hh_task *t = bpf_task_storage_get(&hh_tasks, p, 0, 0);
	u32 tgid = p->tgid, weight = p->scx.weight ? p->scx.weight : 1;
	struct hh_book *b;

	if (!t || !t->member)
		return;

	b = bpf_map_lookup_elem(&hh_books, &tgid);
	if (b)
		__sync_fetch_and_add(&b->vtime, (bpf_ktime_get_ns() - t->started) * 100 / weight);

	if (t->member == 1 && (p->flags & HH_EXITING))
		hh_leave(t, tgid);
}

s32 SEC("struct_ops.s/init") BPF_PROG(hh_init)
{
	return scx_bpf_create_dsq(HH_ROOM, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops household_ops = {
	.init_task = (void *)hh_init_task,
	.exit_task = (void *)hh_exit_task,
	.enqueue = (void *)hh_enqueue,
	.dispatch = (void *)hh_dispatch,
	.running = (void *)hh_running,
	.stopping = (void *)hh_stopping,
	.init = (void *)hh_init,
	.flags = SCX_OPS_ENQ_EXITING,
	.name = "household",
};
