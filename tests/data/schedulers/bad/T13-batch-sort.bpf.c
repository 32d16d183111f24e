// SPDX-License-Identifier: GPL-2.0
/*
 * T13: takes 64 numbers of tasks out and keeps 32 of them, so that with more than 32 that wait the
 * rest is lost. Stopped at Bytecode or Dynamic.
 */
/*
 * sorted: tasks arrive in a BPF queue and are taken over in batches; within a batch the clocks are
 * compressed, so that one old sleeper does not run away.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BS_SORTED 0x90ULL
#define BS_BATCH  32
#define BS_ROUNDS 64
#define BS_SLICE  (5ULL * 1000 * 1000)
#define BS_SPAN	  (40ULL * 1000 * 1000)

struct bs_entry {
	u64 clock;
	s32 pid;
	u32 pad;
};

struct bs_batch {
	u32 n;
	u32 pad;
	u64 least;
	struct bs_entry e[BS_BATCH];
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 16384);
	__type(value, s32);
} bs_arrivals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct bs_batch);
} bs_batches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, u64);
} bs_since SEC(".maps");

static u64 bs_clock;

void SEC("struct_ops/enable") BPF_PROG(bs_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = bs_clock;
}

void SEC("struct_ops/enqueue") BPF_PROG(bs_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid, cpu;

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, BS_SLICE, enq_flags);
		return;
	}

	if (bpf_map_push_elem(&bs_arrivals, &pid, 0))
		scx_bpf_dsq_insert_vtime(p, BS_SORTED, BS_SLICE, bs_clock, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

static long bs_collect(u32 idx, void *ctx)
{
	u32 zero = 0, n;
	struct bs_batch *b = bpf_map_lookup_elem(&bs_batches, &zero);
	struct task_struct *p;
	u64 clock;
	s32 pid;

	if (!b || bpf_map_pop_elem(&bs_arrivals, &pid))
		return 1;

	p = bpf_task_from_pid(pid);
	if (!p)
		return 0;
	clock = p->scx.dsq_vtime;
	bpf_task_release(p);

	n = b->n;
	if (n < BS_BATCH) {
		b->e[n].pid = pid;
		b->e[n].clock = clock;
		if (!n || (s64)(clock - b->least) < 0)
			b->least = clock;
		b->n = n + 1;
	}
	return 0;
}

void SEC("struct_ops/dispatch") BPF_PROG(bs_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0, i;
	struct task_struct *p;
	struct bs_batch *b;
	u64 lead;

	if (scx_bpf_dsq_move_to_local(BS_SORTED))
		return;

	b = bpf_map_lookup_elem(&bs_batches, &zero);
	if (!b)
		return;
	b->n = 0;
	bpf_loop(BS_ROUNDS, bs_collect, 0, 0);

	for (i = 0; i < BS_BATCH; i++) {
		if (i >= b->n)
			break;
		p = bpf_task_from_pid(b->e[i].pid);
		if (!p)
			continue;
		lead = b->e[i].clock - b->least;
		if (lead > BS_SPAN)
			lead = BS_SPAN;
		scx_bpf_dsq_insert_vtime(p, BS_SORTED, BS_SLICE, b->least + lead, 0);
		bpf_task_release(p);
	}
	if (b->n)
		scx_bpf_dsq_move_to_local(BS_SORTED);
}

void SEC("struct_ops/running") BPF_PROG(bs_running, struct task_struct *p)
{
	u64 *since = bpf_task_storage_get(&bs_since, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (since)
		*since = bpf_ktime_get_ns();
	if ((s64)(p->scx.dsq_vtime - bs_clock) > 0)
		bs_clock = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(bs_stopping, struct task_struct *p, bool runnable)
{
	u64 *since = bpf_task_storage_get(&bs_since, p, 0, 0);
	u64 w = p->scx.weight ? p->scx.weight : 1;

	if (since && *since)
		p->scx.dsq_vtime += (bpf_ktime_get_ns() - *since) * 100 / w;
}

s32 SEC("struct_ops.s/init") BPF_PROG(bs_init)
{
	return scx_bpf_create_dsq(BS_SORTED, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops sorted_ops = {
	.enable = (void *)bs_enable,
	.enqueue = (void *)bs_enqueue,
	.dispatch = (void *)bs_dispatch,
	.running = (void *)bs_running,
	.stopping = (void *)bs_stopping,
	.init = (void *)bs_init,
	.name = "sorted",
};
