// SPDX-License-Identifier: GPL-2.0
/*
 * R10: keeps each task back until the next one comes, and inserts it then.
 * Stopped at Bytecode or Attach or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define DELAYED 0x92

static s32 kept_pid;

s32 SEC("struct_ops.s/init") BPF_PROG(delayed_init)
{
	return scx_bpf_create_dsq(DELAYED, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(delayed_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 before = kept_pid;
	struct task_struct *kept = before ? bpf_task_from_pid(before) : NULL;

	kept_pid = p->pid;
	if (!kept) {
		scx_bpf_dsq_insert(p, DELAYED, SCX_SLICE_DFL, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(kept, DELAYED, SCX_SLICE_DFL, enq_flags);
	bpf_task_release(kept);
}

void SEC("struct_ops/dispatch") BPF_PROG(delayed_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(DELAYED);
}

SEC(".struct_ops.link")
struct sched_ext_ops delayed_ops = {
	.enqueue = (void *)delayed_enqueue,
	.dispatch = (void *)delayed_dispatch,
	.init = (void *)delayed_init,
	.name = "one_behind",
};
