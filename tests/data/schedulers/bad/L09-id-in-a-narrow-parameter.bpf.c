// SPDX-License-Identifier: GPL-2.0
/*
 * L09: a function takes queue ids as 32 bits. Its own ids fit; the kernel's, with the CPU in the
 * lower half, become the number of the CPU.
 * Stopped at Source or Bytecode or Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define WAITERS 0x300

s32 SEC("struct_ops.s/init") BPF_PROG(narrow_init)
{
	return scx_bpf_create_dsq(WAITERS, -1);
}

static void put(struct task_struct *p, u32 where, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, where, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/enqueue") BPF_PROG(narrow_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);

	if (cpu < 0) {
		put(p, WAITERS, enq_flags);
		return;
	}
	put(p, SCX_DSQ_LOCAL_ON | cpu, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(narrow_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(WAITERS);
}

SEC(".struct_ops.link")
struct sched_ext_ops narrow_ops = {
	.enqueue = (void *)narrow_enqueue,
	.dispatch = (void *)narrow_dispatch,
	.init = (void *)narrow_init,
	.name = "narrow_ids",
};
