// SPDX-License-Identifier: GPL-2.0
/*
 * R04: a timer takes the starting queue down after a minute and the tasks go on to it.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { START_Q = 0x33, CLOCK = 1 };

struct due {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct due);
} dues SEC(".maps");

static int over(void *map, int *key, struct due *due)
{
	scx_bpf_destroy_dsq(START_Q);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(starting_init)
{
	int zero = 0;
	struct due *due = bpf_map_lookup_elem(&dues, &zero);
	s32 err = scx_bpf_create_dsq(START_Q, -1);

	if (err || !due)
		return err;
	bpf_timer_init(&due->timer, &dues, CLOCK);
	bpf_timer_set_callback(&due->timer, over);
	return bpf_timer_start(&due->timer, 60000000000ULL, 0);
}

void SEC("struct_ops/enqueue") BPF_PROG(starting_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, START_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(starting_dispatch, s32 cpu, struct task_struct *prev)
{
	if (scx_bpf_dsq_nr_queued(START_Q) > 0)
		scx_bpf_dsq_move_to_local(START_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops starting_ops = {
	.enqueue = (void *)starting_enqueue,
	.dispatch = (void *)starting_dispatch,
	.init = (void *)starting_init,
	.name = "starting_phase",
};
