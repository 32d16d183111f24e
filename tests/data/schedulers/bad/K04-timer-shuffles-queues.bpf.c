// SPDX-License-Identifier: GPL-2.0
/*
 * K04: a timer moves everybody from one queue to the other and back, 50000 times a second, each
 * time under both locks and to the end. Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { CLOCK = 1, LEFT_Q = 0x40, RIGHT_Q };

struct shuffle {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct shuffle);
} shuffles SEC(".maps");

static u64 rounds;

static int move_all(void *map, int *key, struct shuffle *shuffle)
{
	bool right = ++rounds & 1;
	struct task_struct *p;

	bpf_rcu_read_lock();
	bpf_for_each (scx_dsq, p, right ? LEFT_Q : RIGHT_Q, 0) {
		scx_bpf_dsq_move(&___it, p, right ? RIGHT_Q : LEFT_Q, 0);
	}
	bpf_rcu_read_unlock();
	bpf_timer_start(&shuffle->timer, 20000, 0);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(shuffled_init)
{
	int zero = 0;
	struct shuffle *shuffle = bpf_map_lookup_elem(&shuffles, &zero);
	s32 err = scx_bpf_create_dsq(LEFT_Q, -1) ?: scx_bpf_create_dsq(RIGHT_Q, -1);

	if (err || !shuffle)
		return err;
	bpf_timer_init(&shuffle->timer, &shuffles, CLOCK);
	bpf_timer_set_callback(&shuffle->timer, move_all);
	return bpf_timer_start(&shuffle->timer, 20000, 0);
}

void SEC("struct_ops/enqueue") BPF_PROG(shuffled_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, LEFT_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(shuffled_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!scx_bpf_dsq_move_to_local(LEFT_Q))
		scx_bpf_dsq_move_to_local(RIGHT_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops shuffled_ops = {
	.enqueue = (void *)shuffled_enqueue,
	.dispatch = (void *)shuffled_dispatch,
	.init = (void *)shuffled_init,
	.name = "left_and_right",
};
