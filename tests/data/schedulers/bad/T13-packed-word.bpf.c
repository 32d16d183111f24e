// SPDX-License-Identifier: GPL-2.0
/*
 * T13: the number of tasks that wait has 8 bits of a word, and the queue freezes when it falls to
 * 256. Stopped at Bytecode or Dynamic.
 */
/*
 * shares: a queue for nice <= 0 and one for the rest; a packed word per queue tells dispatch at one
 * load how much is waiting and what its share is.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define PW_QUEUES      2
#define PW_BASE	       0x110ULL
#define PW_COUNT       0xffu
#define PW_SHARE_SHIFT 8
#define PW_SLICE       (4ULL * 1000 * 1000)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PW_QUEUES);
	__type(key, u32);
	__type(value, u32);
} pw_words SEC(".maps");

struct pw_task {
	u32 waiting;
	u32 queue;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pw_task);
} pw_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} pw_spent SEC(".maps");

/* the task has left its queue, by running or by going away */
static __always_inline void pw_left(struct task_struct *p)
{
	struct pw_task *t = bpf_task_storage_get(&pw_tasks, p, 0, 0);
	u32 q, *word;

	if (!t || !t->waiting)
		return;
	t->waiting = 0;
	q = t->queue;
	word = bpf_map_lookup_elem(&pw_words, &q);
	if (word)
		__sync_fetch_and_sub(word, 1);
}

void SEC("struct_ops/enqueue") BPF_PROG(pw_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct pw_task *t;
	u32 q = p->scx.weight >= 100 ? 0 : 1, *word;
	s32 cpu;

	t = bpf_task_storage_get(&pw_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t || p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, PW_SLICE, enq_flags);
		return;
	}

	word = bpf_map_lookup_elem(&pw_words, &q);
	if (word && !t->waiting) {
		t->waiting = 1;
		t->queue = q;
		__sync_fetch_and_add(word, 1);
	}
	scx_bpf_dsq_insert(p, PW_BASE + q, PW_SLICE, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(pw_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, one = 1, q, first = 0, i, share = 4;
	u32 *spent = bpf_map_lookup_elem(&pw_spent, &zero);
	u32 *word = bpf_map_lookup_elem(&pw_words, &zero);

	if (word)
		share = *word >> PW_SHARE_SHIFT;

	/* after its share of turns the first queue lets the second go before */
	if (spent && *spent >= share) {
		*spent = 0;
		first = one;
	}

	for (i = 0; i < PW_QUEUES; i++) {
		q = (first + i) & 1;
		word = bpf_map_lookup_elem(&pw_words, &q);
		if (!word || !(*word & PW_COUNT))
			continue;
		if (scx_bpf_dsq_move_to_local(PW_BASE + q)) {
			if (spent && !q)
				*spent += 1;
			return;
		}
	}
}

void SEC("struct_ops/running") BPF_PROG(pw_running, struct task_struct *p)
{
	pw_left(p);
}

void SEC("struct_ops/quiescent") BPF_PROG(pw_quiescent, struct task_struct *p, u64 deq_flags)
{
	pw_left(p);
}

s32 SEC("struct_ops.s/init") BPF_PROG(pw_init)
{
	u32 q, word;
	s32 ret;

	for (q = 0; q < PW_QUEUES; q++) {
		u32 key = q;

		word = (q ? 1 : 4) << PW_SHARE_SHIFT;
		bpf_map_update_elem(&pw_words, &key, &word, BPF_ANY);
		ret = scx_bpf_create_dsq(PW_BASE + q, -1);
		if (ret)
			return ret;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops shares_ops = {
	.enqueue = (void *)pw_enqueue,
	.dispatch = (void *)pw_dispatch,
	.running = (void *)pw_running,
	.quiescent = (void *)pw_quiescent,
	.init = (void *)pw_init,
	.name = "shares",
};
