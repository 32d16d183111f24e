// SPDX-License-Identifier: GPL-2.0
/*
 * Q10: chains of wakers go first without limit; neighbours get one slice in 400 ms on each CPU.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service as busy as its neighbours.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

/* Work that is handed from task to task is latency critical: the tasks of such chains are served
 * first, others at the latest after a while. */
#define PF_KTHREAD  0x00200000
#define CHAINQ	    0xc1ULL
#define PLAINQ	    0xc2ULL
#define BASE_SLICE  8000000ULL
#define WINDOW_NS   20000000ULL
#define CHAIN_WAKES 8
#define PLAIN_WAIT  400000000ULL

struct wc_task {
	u64 window;
	u64 linked_until;
	u32 wakes;
	u32 rate;
};

struct wc_cpu {
	u64 plain_at;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct wc_task);
} wc_tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct wc_cpu);
} wc_cpus SEC(".maps");

static __always_inline u64 slice_of(struct task_struct *p)
{
	u64 s = BASE_SLICE * p->scx.weight / 100;

	return s < 2000000 ? 2000000 : s > 24000000 ? 24000000 : s;
}

static __always_inline void roll(struct wc_task *t, u64 now)
{
	if (now - t->window < WINDOW_NS)
		return;
	/* nothing for more than a window means that the chain is cold */
	t->rate = now - t->window < 2 * WINDOW_NS ? t->wakes : 0;
	t->wakes = 0;
	t->window = now;
}

static __always_inline bool in_chain(struct wc_task *t, u64 now)
{
	return t->rate >= CHAIN_WAKES || t->wakes >= CHAIN_WAKES ||
	       (s64)(t->linked_until - now) > 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(wc_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	struct task_struct *waker = bpf_get_current_task_btf();
	struct wc_task *w, *t;
	u64 now = scx_bpf_now();
	bool idle = false;
	s32 cpu;

	t = bpf_task_storage_get(&wc_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	w = bpf_task_storage_get(&wc_tasks, waker, 0, 0);
	if (w && t && !(p->flags & PF_KTHREAD)) {
		roll(w, now);
		w->wakes++;
		if (in_chain(w, now))
			t->linked_until = now + WINDOW_NS;
	}

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(wc_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct wc_task *t = bpf_task_storage_get(&wc_tasks, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	u64 now = scx_bpf_now(), q = PLAINQ;
	s32 cpu;

	if ((p->flags & PF_KTHREAD) && p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_of(p), enq_flags);
		return;
	}
	if (t) {
		roll(t, now);
		if (in_chain(t, now) || (p->flags & PF_KTHREAD))
			q = CHAINQ;
	}
	scx_bpf_dsq_insert(p, q, slice_of(p), enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(wc_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 key = 0;
	struct wc_cpu *c = bpf_map_lookup_elem(&wc_cpus, &key);
	u64 now = scx_bpf_now();

	if (c && now - c->plain_at > PLAIN_WAIT) {
		c->plain_at = now;
		if (scx_bpf_dsq_move_to_local(PLAINQ))
			return;
	}
	if (scx_bpf_dsq_move_to_local(CHAINQ))
		return;
	if (scx_bpf_dsq_move_to_local(PLAINQ) && c)
		c->plain_at = now;
}

s32 SEC("struct_ops.s/init") BPF_PROG(wc_init)
{
	s32 err = scx_bpf_create_dsq(CHAINQ, -1);

	return err ? err : scx_bpf_create_dsq(PLAINQ, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops wc_ops = {
	.select_cpu = (void *)wc_select_cpu,
	.enqueue = (void *)wc_enqueue,
	.dispatch = (void *)wc_dispatch,
	.init = (void *)wc_init,
	.name = "wake_chains",
};
