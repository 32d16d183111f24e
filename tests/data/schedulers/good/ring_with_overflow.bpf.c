// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting tasks are remembered by number in a queue of our own. When it is full they go to an
 * overflow queue of the kernel's, which is served in turns with the ring, so that nobody is lost
 * and nobody waits for the ring to run dry.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define READY	 0x71
#define OVERFLOW 0x72
#define BATCH	 4

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1024);
	__type(value, s32);
} ring SEC(".maps");

/* Tasks that may not run on the CPU that took them out of the ring wait for one that may. */
static void hand_out(void)
{
	struct task_struct *p;
	s32 pid, i;

	bpf_for (i, 0, BATCH) {
		if (bpf_map_pop_elem(&ring, &pid))
			return;
		p = bpf_task_from_pid(pid);
		if (!p)
			continue;
		scx_bpf_dsq_insert(p, READY, SCX_SLICE_DFL, 0);
		scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
		bpf_task_release(p);
	}
}

void SEC("struct_ops/enqueue") BPF_PROG(ring_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid, idle;

	if (bpf_map_push_elem(&ring, &pid, 0))
		scx_bpf_dsq_insert(p, OVERFLOW, SCX_SLICE_DFL, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

static u64 turn;

void SEC("struct_ops/dispatch") BPF_PROG(ring_dispatch, s32 cpu, struct task_struct *prev)
{
	bool overflow_first = __sync_fetch_and_add(&turn, 1) & 1;

	if (overflow_first && scx_bpf_dsq_move_to_local(OVERFLOW))
		return;
	hand_out();
	if (!scx_bpf_dsq_move_to_local(READY))
		scx_bpf_dsq_move_to_local(OVERFLOW);
}

s32 SEC("struct_ops.s/init") BPF_PROG(ring_init)
{
	s32 err = scx_bpf_create_dsq(READY, -1);

	return err ?: scx_bpf_create_dsq(OVERFLOW, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops ring_ops = {
	.enqueue = (void *)ring_enqueue,
	.dispatch = (void *)ring_dispatch,
	.init = (void *)ring_init,
	.name = "ring_with_overflow",
};
