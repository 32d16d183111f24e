// SPDX-License-Identifier: GPL-2.0
/*
 * T12: a timer closes the queue of light tasks for fifteen seconds of each twenty minutes, by a
 * flag.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

struct th {
	struct bpf_timer t;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct th);
} ths SEC(".maps");

static u32 closed;
static int look(void *map, u32 *key, struct th *h)
{
	u64 s = bpf_ktime_get_ns() / 1000000000ULL % 1200;

	if (s >= 900 && s < 915)
		closed = 1;
	else
		closed = 0;
	bpf_timer_start(&h->t, 500 * MS, 0);
	return 0;
}

s32 SEC("struct_ops/gate_select_cpu")
	BPF_PROG(gate_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/gate_enqueue") BPF_PROG(gate_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? 2 : 1, 5 * MS, enq_flags);
}

void SEC("struct_ops/gate_dispatch") BPF_PROG(gate_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 shut = closed;

	if (!shut && (bpf_get_prandom_u32() & 1) && scx_bpf_dsq_move_to_local(2))
		return;
	if (scx_bpf_dsq_move_to_local(1))
		return;
	if (!shut)
		scx_bpf_dsq_move_to_local(2);
}

s32 SEC("struct_ops.s/gate_init") BPF_PROG(gate_init)
{
	u32 z = 0;
	struct th *h = bpf_map_lookup_elem(&ths, &z);
	s32 err = scx_bpf_create_dsq(1, -1) ?: scx_bpf_create_dsq(2, -1);

	if (err || !h)
		return err ?: -2;
	bpf_timer_init(&h->t, &ths, 1);
	bpf_timer_set_callback(&h->t, look);
	return bpf_timer_start(&h->t, 500 * MS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops gate_ops = {
	.select_cpu = (void *)gate_select_cpu,
	.enqueue = (void *)gate_enqueue,
	.dispatch = (void *)gate_dispatch,
	.init = (void *)gate_init,
	.name = "gate",
};
