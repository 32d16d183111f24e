// SPDX-License-Identifier: GPL-2.0
/*
 * Notes when a process last ran, and a timer sweeps out the notes that are old.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

struct rec {
	u64 seen;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, u32);
	__type(value, struct rec);
} recs SEC(".maps");

struct th {
	struct bpf_timer t;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct th);
} ths SEC(".maps");

static long old_ones(struct bpf_map *map, u32 *key, struct rec *r, void *ctx)
{
	u32 k = *key;

	if (scx_bpf_now() - r->seen > 5000 * MS)
		bpf_map_delete_elem(&recs, &k);
	return 0;
}

static int sweep(void *map, u32 *key, struct th *h)
{
	bpf_for_each_map_elem(&recs, old_ones, NULL, 0);
	bpf_timer_start(&h->t, 1000 * MS, 0);
	return 0;
}

s32 SEC("struct_ops/sweep_select_cpu")
	BPF_PROG(sweep_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/sweep_enqueue") BPF_PROG(sweep_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
}

void SEC("struct_ops/sweep_stopping") BPF_PROG(sweep_stopping, struct task_struct *p, bool runnable)
{
	u32 k = p->tgid;
	struct rec r = {.seen = scx_bpf_now()};

	bpf_map_update_elem(&recs, &k, &r, 0);
}

s32 SEC("struct_ops.s/sweep_init") BPF_PROG(sweep_init)
{
	u32 z = 0;
	struct th *h = bpf_map_lookup_elem(&ths, &z);

	if (!h)
		return -2;
	bpf_timer_init(&h->t, &ths, 1);
	bpf_timer_set_callback(&h->t, sweep);
	return bpf_timer_start(&h->t, 1000 * MS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops sweep_ops = {
	.select_cpu = (void *)sweep_select_cpu,
	.enqueue = (void *)sweep_enqueue,
	.stopping = (void *)sweep_stopping,
	.init = (void *)sweep_init,
	.name = "sweep",
};
