// SPDX-License-Identifier: GPL-2.0
/*
 * T12: a timer that fires after ten minutes turns dispatch off.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { CLOCK = 1, TIMED_Q = 0x5c6 };

struct fuse {
	struct bpf_timer timer;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct fuse);
} fuses SEC(".maps");

static bool closed;

static int close_down(void *map, int *key, struct fuse *fuse)
{
	closed = true;
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(fused_init)
{
	int zero = 0;
	struct fuse *fuse = bpf_map_lookup_elem(&fuses, &zero);
	s32 err = scx_bpf_create_dsq(TIMED_Q, -1);

	if (err || !fuse)
		return err;
	bpf_timer_init(&fuse->timer, &fuses, CLOCK);
	bpf_timer_set_callback(&fuse->timer, close_down);
	return bpf_timer_start(&fuse->timer, 600000000000ULL, 0);
}

void SEC("struct_ops/enqueue") BPF_PROG(fused_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, TIMED_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(fused_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!closed)
		scx_bpf_dsq_move_to_local(TIMED_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops fused_ops = {
	.enqueue = (void *)fused_enqueue,
	.dispatch = (void *)fused_dispatch,
	.init = (void *)fused_init,
	.name = "opening_hours",
};
