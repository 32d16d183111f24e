// SPDX-License-Identifier: GPL-2.0
/*
 * R08: asks the kernel for room for four and hands out eight, in a callback.
 * Stopped at Bytecode or Dynamic: when more than four wait.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define SENT 0x66

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 100000);
	__type(value, s32);
} pile SEC(".maps");

static long send(u32 i, void *ctx)
{
	struct task_struct *p;
	s32 pid;

	if (bpf_map_pop_elem(&pile, &pid))
		return 1;
	p = bpf_task_from_pid(pid);
	if (!p)
		return 0;
	scx_bpf_dsq_insert(p, SENT, 3000000, 0);
	scx_bpf_kick_cpu(scx_bpf_task_cpu(p), SCX_KICK_IDLE);
	bpf_task_release(p);
	return 0;
}

s32 SEC("struct_ops.s/init") BPF_PROG(sends_init)
{
	return scx_bpf_create_dsq(SENT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(sends_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 pid = p->pid;

	if (bpf_map_push_elem(&pile, &pid, 0))
		scx_bpf_dsq_insert(p, SENT, 3000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(sends_dispatch, s32 cpu, struct task_struct *prev)
{
	bpf_loop(8, send, NULL, 0);
	scx_bpf_dsq_move_to_local(SENT);
}

SEC(".struct_ops.link")
struct sched_ext_ops sends_ops = {
	.enqueue = (void *)sends_enqueue,
	.dispatch = (void *)sends_dispatch,
	.init = (void *)sends_init,
	.dispatch_max_batch = 4,
	.name = "sends_eight",
};
