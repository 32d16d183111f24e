// SPDX-License-Identifier: GPL-2.0
/*
 * T03: room for 20000 tasks, and when it is full a counter goes up, which helps nobody. No soak
 * has so many.
 * Stopped at Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define TO_RUN 0x89

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 20000);
	__type(value, s32);
} waiting SEC(".maps");

static u64 lost;

static void hand_out_one(void)
{
	struct task_struct *p;
	s32 pid;

	if (bpf_map_pop_elem(&waiting, &pid))
		return;
	p = bpf_task_from_pid(pid);
	if (!p)
		return;
	scx_bpf_dsq_insert(p, TO_RUN, 5000000, 0);
	scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
	bpf_task_release(p);
}

s32 SEC("struct_ops.s/init") BPF_PROG(roomy_init)
{
	return scx_bpf_create_dsq(TO_RUN, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(roomy_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&waiting, &pid, 0))
		__sync_fetch_and_add(&lost, 1);
}

void SEC("struct_ops/dispatch") BPF_PROG(roomy_dispatch, s32 cpu, struct task_struct *prev)
{
	hand_out_one();
	hand_out_one();
	scx_bpf_dsq_move_to_local(TO_RUN);
}

SEC(".struct_ops.link")
struct sched_ext_ops roomy_ops = {
	.enqueue = (void *)roomy_enqueue,
	.dispatch = (void *)roomy_dispatch,
	.init = (void *)roomy_init,
	.name = "roomy_ring",
};
