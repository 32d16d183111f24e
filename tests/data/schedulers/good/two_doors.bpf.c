// SPDX-License-Identifier: GPL-2.0
/*
 * Two FIFO queues, woken tasks and returning tasks; every CPU gives three turns to the first and
 * one to the second, short slices.
 */
/*
 * Tasks which have just been woken enter by one door, tasks which used up
 * their slice (or were just forked) by the other. Each CPU keeps a turn
 * counter: three turns for the woken, then one for the others. Whatever door
 * is empty leaves its turn to the other one.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define DOOR_WOKEN 10
#define DOOR_BACK  11

const volatile u64 door_slice_ns = 3500000ULL;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} door_turns SEC(".maps");

static __always_inline void door_wake_someone(struct task_struct *p)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(door_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu;

	cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);
	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, door_slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(door_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 door = (enq_flags & SCX_ENQ_WAKEUP) ? DOOR_WOKEN : DOOR_BACK;

	scx_bpf_dsq_insert(p, door, door_slice_ns, enq_flags);
	door_wake_someone(p);
}

void SEC("struct_ops/dispatch") BPF_PROG(door_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 first = DOOR_WOKEN, second = DOOR_BACK;
	u32 zero = 0, *turn;

	turn = bpf_map_lookup_elem(&door_turns, &zero);
	if (turn) {
		if ((*turn & 3) == 3) {
			first = DOOR_BACK;
			second = DOOR_WOKEN;
		}
		*turn += 1;
	}

	if (scx_bpf_dsq_move_to_local(first))
		return;
	scx_bpf_dsq_move_to_local(second);
}

s32 SEC("struct_ops.s/init") BPF_PROG(door_init)
{
	s32 err = scx_bpf_create_dsq(DOOR_WOKEN, -1);

	if (err)
		return err;
	return scx_bpf_create_dsq(DOOR_BACK, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops door_ops = {
	.select_cpu = (void *)door_select_cpu,
	.enqueue = (void *)door_enqueue,
	.dispatch = (void *)door_dispatch,
	.init = (void *)door_init,
	.name = "two_doors",
};
