// SPDX-License-Identifier: GPL-2.0
/*
 * Q10: tasks of the control groups that user space lists have 63 turns of 64; the others get what
 * keeps the watchdog quiet.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service as busy as its neighbours.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { LISTED_Q = 0x80, OTHERS_Q };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, u64);
	__type(value, u8);
} listed SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} turns SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(listed_init)
{
	s32 err = scx_bpf_create_dsq(LISTED_Q, -1);

	return err ?: scx_bpf_create_dsq(OTHERS_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(listed_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct cgroup *cgrp = scx_bpf_task_cgroup(p);
	u64 id = cgrp->kn->id;
	bool known = bpf_map_lookup_elem(&listed, &id);

	bpf_cgroup_release(cgrp);
	scx_bpf_dsq_insert(p, known ? LISTED_Q : OTHERS_Q, 20000000, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(listed_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 zero = 0;
	u32 *turn = bpf_map_lookup_elem(&turns, &zero);

	if (turn && ++*turn % 64 == 0 && scx_bpf_dsq_move_to_local(OTHERS_Q))
		return;
	if (!scx_bpf_dsq_move_to_local(LISTED_Q))
		scx_bpf_dsq_move_to_local(OTHERS_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops listed_ops = {
	.enqueue = (void *)listed_enqueue,
	.dispatch = (void *)listed_dispatch,
	.init = (void *)listed_init,
	.name = "listed_first",
};
