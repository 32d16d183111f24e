// SPDX-License-Identifier: GPL-2.0
/*
 * Q14: ends and asks to be started again whenever a thousand tasks have come, for ever.
 * Stopped at Bytecode or Dynamic or Replay: kind 65 with the code for a restart. Replayed as a
 * service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define AGAIN_Q 0x8b

static u64 came;
static char again[] = "again";

s32 SEC("struct_ops.s/init") BPF_PROG(again_init)
{
	return scx_bpf_create_dsq(AGAIN_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(again_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, AGAIN_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(again_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(AGAIN_Q);
}

s32 SEC("struct_ops.s/init_task")
	BPF_PROG(again_init_task, struct task_struct *p, struct scx_init_task_args *args)
{
	if (args->fork && __sync_add_and_fetch(&came, 1) == 1000)
		scx_bpf_exit_bstr(SCX_ECODE_ACT_RESTART, again, (unsigned long long[]){0},
				  sizeof(u64));
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops again_ops = {
	.enqueue = (void *)again_enqueue,
	.dispatch = (void *)again_dispatch,
	.init_task = (void *)again_init_task,
	.init = (void *)again_init,
	.name = "once_more",
};
