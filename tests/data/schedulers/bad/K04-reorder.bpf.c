// SPDX-License-Identifier: GPL-2.0
/*
 * K04: the time of the last reordering is noted only when the queue is short, so that each enqueue
 * has the whole queue enqueued again. Stopped at Bytecode or Dynamic.
 */
/*
 * reorder: weighted virtual time with a bonus for waiting, which is worked in by re-ordering a deep
 * queue from time to time.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define RO_QUEUE   0x4fULL
#define RO_DEEP	   40
#define RO_SHALLOW 10
#define RO_EVERY   (50ULL * 1000 * 1000)
#define RO_SLICE   (4ULL * 1000 * 1000)
#define RO_DEBT	   (250ULL * 1000 * 1000)

struct ro_task {
	u64 vtime;
	u64 on_since;
	u64 waits_since;
};

struct ro_state {
	u64 reordered;
	u64 times;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct ro_task);
} ro_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ro_state);
} ro_states SEC(".maps");

static u64 ro_clock;

static __always_inline struct ro_state *ro_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&ro_states, &zero);
}

static __always_inline void ro_maybe_reorder(u64 now)
{
	struct ro_state *st = ro_get();

	if (!st || scx_bpf_dsq_nr_queued(RO_QUEUE) <= RO_DEEP)
		return;
	if (now - st->reordered < RO_EVERY)
		return;
	st->times++;
	scx_bpf_dsq_reenq(RO_QUEUE, 0);
}

void SEC("struct_ops/enqueue") BPF_PROG(ro_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct ro_task *t = bpf_task_storage_get(&ro_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u64 now = bpf_ktime_get_ns(), key;
	s32 cpu;

	if (!t || p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, RO_SLICE, enq_flags);
		return;
	}

	if (!t->waits_since)
		t->waits_since = now;
	if ((s64)(t->vtime - (ro_clock - RO_SLICE)) < 0)
		t->vtime = ro_clock - RO_SLICE;
	if ((s64)(t->vtime - (ro_clock + RO_DEBT)) > 0)
		t->vtime = ro_clock + RO_DEBT;

	/* half of the time waited counts as if it had not been used */
	key = t->vtime - (now - t->waits_since) / 2;
	scx_bpf_dsq_insert_vtime(p, RO_QUEUE, RO_SLICE, key, enq_flags);
	ro_maybe_reorder(now);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ro_dispatch, s32 cpu, struct task_struct *prev)
{
	struct ro_state *st = ro_get();

	/* a short queue is as good as a freshly ordered one */
	if (st && scx_bpf_dsq_nr_queued(RO_QUEUE) <= RO_SHALLOW)
		st->reordered = bpf_ktime_get_ns();
	scx_bpf_dsq_move_to_local(RO_QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(ro_running, struct task_struct *p)
{
	struct ro_task *t = bpf_task_storage_get(&ro_tasks, p, 0, 0);

	if (!t)
		return;
	t->waits_since = 0;
	t->on_since = bpf_ktime_get_ns();
	if (p->nr_cpus_allowed > 1 && (s64)(t->vtime - ro_clock) > 0)
		ro_clock = t->vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(ro_stopping, struct task_struct *p, bool runnable)
{
	struct ro_task *t = bpf_task_storage_get(&ro_tasks, p, 0, 0);
	u64 w = p->scx.weight ? p->scx.weight : 1;

	if (t && t->on_since) {
		t->vtime += (bpf_ktime_get_ns() - t->on_since) * 100 / w;
		t->on_since = 0;
	}
}

void SEC("struct_ops/quiescent") BPF_PROG(ro_quiescent, struct task_struct *p, u64 deq_flags)
{
	struct ro_task *t = bpf_task_storage_get(&ro_tasks, p, 0, 0);

	if (t && (deq_flags & SCX_DEQ_SLEEP))
		t->waits_since = 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(ro_init)
{
	return scx_bpf_create_dsq(RO_QUEUE, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops reorder_ops = {
	.enqueue = (void *)ro_enqueue,
	.dispatch = (void *)ro_dispatch,
	.running = (void *)ro_running,
	.stopping = (void *)ro_stopping,
	.quiescent = (void *)ro_quiescent,
	.init = (void *)ro_init,
	.name = "reorder",
};
