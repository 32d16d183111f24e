// SPDX-License-Identifier: GPL-2.0
/*
 * T03: a ring of its own making, 256 slots in an array: when the head has gone round, it writes
 * over whoever has not been taken out.
 * Stopped at Bytecode or Dynamic: when more than 256 wait.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define READY 0x8d
#define SLOTS 256

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, u32);
	__type(value, s32);
} slots SEC(".maps");

static u64 head, tail;

s32 SEC("struct_ops.s/init") BPF_PROG(slotted_init)
{
	return scx_bpf_create_dsq(READY, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(slotted_enqueue, struct task_struct *p, u64 enq_flags)
{
	u32 slot = __sync_fetch_and_add(&head, 1) % SLOTS;
	s32 *place = bpf_map_lookup_elem(&slots, &slot);

	if (place)
		*place = p->pid;
	else
		scx_bpf_dsq_insert(p, READY, SCX_SLICE_DFL, enq_flags);
}

static void take_out(void)
{
	struct task_struct *p;
	s32 *place, pid;
	u32 slot;

	if (tail == head)
		return;
	slot = __sync_fetch_and_add(&tail, 1) % SLOTS;
	place = bpf_map_lookup_elem(&slots, &slot);
	if (!place)
		return;
	pid = __sync_lock_test_and_set(place, 0);
	p = bpf_task_from_pid(pid);
	if (!p)
		return;
	scx_bpf_dsq_insert(p, READY, SCX_SLICE_DFL, 0);
	scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
	bpf_task_release(p);
}

void SEC("struct_ops/dispatch") BPF_PROG(slotted_dispatch, s32 cpu, struct task_struct *prev)
{
	take_out();
	take_out();
	scx_bpf_dsq_move_to_local(READY);
}

SEC(".struct_ops.link")
struct sched_ext_ops slotted_ops = {
	.enqueue = (void *)slotted_enqueue,
	.dispatch = (void *)slotted_dispatch,
	.init = (void *)slotted_init,
	.name = "slotted_ring",
};
