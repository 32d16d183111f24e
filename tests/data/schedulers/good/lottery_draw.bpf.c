// SPDX-License-Identifier: GPL-2.0
/*
 * Lottery among five weight classes with tickets 2,3,4,6,8 per waiting task; every second dispatch
 * is a round robin over the classes instead of a draw, so luck never starves anyone.
 */
/*
 * Tickets are held by the waiting tasks of a class. The winner class gives its
 * oldest task. Half of the turns are not drawn but go around.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define LOT_CLASSES 5
#define LOT_DSQ(c)  (0x1070 + (c))

const volatile u64 lot_slice_ns = 3500000ULL;

struct lot_cpu {
	u32 turn;
	u32 next;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct lot_cpu);
} lot_cpus SEC(".maps");

static __always_inline u32 lot_class(u32 weight)
{
	if (weight < 20)
		return 0;
	if (weight < 80)
		return 1;
	if (weight < 150)
		return 2;
	return weight < 600 ? 3 : 4;
}

static __always_inline u32 lot_tickets(u32 class)
{
	s32 nr = scx_bpf_dsq_nr_queued(LOT_DSQ(class));

	if (nr <= 0)
		return 0;
	switch (class) {
	case 0:
		return nr * 2;
	case 1:
		return nr * 3;
	case 2:
		return nr * 4;
	case 3:
		return nr * 6;
	default:
		return nr * 8;
	}
}

static __always_inline bool lot_draw(void)
{
	u32 t0 = lot_tickets(0), t1 = lot_tickets(1), t2 = lot_tickets(2);
	u32 t3 = lot_tickets(3), t4 = lot_tickets(4);
	u32 all = t0 + t1 + t2 + t3 + t4;
	u32 ball;

	if (!all)
		return false;

	ball = bpf_get_prandom_u32() % all;
	if (ball < t0)
		return scx_bpf_dsq_move_to_local(LOT_DSQ(0));
	ball -= t0;
	if (ball < t1)
		return scx_bpf_dsq_move_to_local(LOT_DSQ(1));
	ball -= t1;
	if (ball < t2)
		return scx_bpf_dsq_move_to_local(LOT_DSQ(2));
	ball -= t2;
	if (ball < t3)
		return scx_bpf_dsq_move_to_local(LOT_DSQ(3));
	return scx_bpf_dsq_move_to_local(LOT_DSQ(4));
}

static __always_inline bool lot_around(struct lot_cpu *c)
{
	u32 i;

	for (i = 0; i < LOT_CLASSES; i++) {
		u32 class = c->next;

		if (class >= LOT_CLASSES)
			class = 0;
		c->next = class + 1;
		if (scx_bpf_dsq_move_to_local(LOT_DSQ(class)))
			return true;
	}
	return false;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(lot_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, lot_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(lot_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 class = lot_class(p->scx.weight);
	s32 cpu;

	scx_bpf_dsq_insert(p, LOT_DSQ(class), lot_slice_ns, enq_flags);

	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(lot_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	struct lot_cpu *c = bpf_map_lookup_elem(&lot_cpus, &zero);

	if (!c) {
		lot_draw();
		return;
	}
	if ((++c->turn & 1) && lot_draw())
		return;
	lot_around(c);
}

s32 SEC("struct_ops.s/init") BPF_PROG(lot_init)
{
	u32 i;

	for (i = 0; i < LOT_CLASSES; i++) {
		s32 err = scx_bpf_create_dsq(LOT_DSQ(i), -1);

		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops lot_ops = {
	.select_cpu = (void *)lot_select_cpu,
	.enqueue = (void *)lot_enqueue,
	.dispatch = (void *)lot_dispatch,
	.init = (void *)lot_init,
	.name = "lottery_draw",
};
