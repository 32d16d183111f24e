// SPDX-License-Identifier: GPL-2.0
/*
 * M01: a security hook that says no, without the macro that names sections.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x26
#define HOOK  __attribute__((used, section("lsm/bprm_check_security")))

s32 SEC("struct_ops.s/init") BPF_PROG(hook_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(hook_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(hook_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

HOOK int hook_check(unsigned long long *ctx)
{
	return bpf_get_prandom_u32() % 1000 ? 0 : -1;
}

SEC(".struct_ops.link")
struct sched_ext_ops hook_ops = {
	.enqueue = (void *)hook_enqueue,
	.dispatch = (void *)hook_dispatch,
	.init = (void *)hook_init,
	.name = "quiet_order",
};
