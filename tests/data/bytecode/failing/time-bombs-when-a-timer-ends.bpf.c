// SPDX-License-Identifier: GPL-2.0
/*
 * After a quiet second the timer that gives light tasks their turns ends itself for ever.
 */
#include "schedcp/common.bpf.h"

SCHEDCP_LICENSE;

enum { WAITING = 0x9, BEHIND, QUIET_MOST = 100, CLOCK_MONOTONIC = 1 };

#define PERIOD_NS (10 * (u64)NSEC_PER_MSEC)

struct round {
	struct bpf_timer timer;
	u32 quiet;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct round);
} rounds SEC(".maps");

static s32 turns;

/* Who is behind gets a turn in each round, while somebody is there. */
static int v_round(void *map, u32 *key, struct round *round)
{
	if (scx_bpf_dsq_nr_queued(BEHIND)) {
		turns = 8;
		round->quiet = 0;
	} else if (++round->quiet > QUIET_MOST) {
		return 0;
	}
	bpf_timer_start(&round->timer, PERIOD_NS, 0);
	return 0;
}

void SCHEDCP_OPS(v_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, p->scx.weight < 100 ? BEHIND : WAITING, SCX_SLICE_DFL, enq_flags);
}

void SCHEDCP_OPS(v_dispatch, s32 cpu, struct task_struct *prev)
{
	if (turns > 0) {
		__sync_fetch_and_add(&turns, -1);
		if (scx_bpf_dsq_move_to_local(BEHIND))
			return;
	}
	if (!scx_bpf_dsq_move_to_local(WAITING))
		scx_bpf_dsq_move_to_local(BEHIND);
}

s32 SCHEDCP_OPS_SLEEPABLE(v_init)
{
	u32 zero = 0;
	struct round *round = bpf_map_lookup_elem(&rounds, &zero);
	s32 err = scx_bpf_create_dsq(WAITING, -1) ?: scx_bpf_create_dsq(BEHIND, -1);

	if (err || !round)
		return err;
	bpf_timer_init(&round->timer, &rounds, CLOCK_MONOTONIC);
	bpf_timer_set_callback(&round->timer, v_round);
	return bpf_timer_start(&round->timer, PERIOD_NS, 0);
}

SEC(".struct_ops.link")
struct sched_ext_ops v_ops = {
	.enqueue = (void *)v_enqueue,
	.dispatch = (void *)v_dispatch,
	.init = (void *)v_init,
	.name = "variant",
};
