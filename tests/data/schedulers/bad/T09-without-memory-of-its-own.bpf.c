// SPDX-License-Identifier: GPL-2.0
/*
 * T09: tasks without memory of their own (kernel threads) wait on their CPU until it falls idle:
 * dispatch looks there only when the CPU has just been idle.
 * Stopped at Bytecode or Dynamic: on a CPU that is never idle.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define EVERYONE 0x2a2
#define THREADS	 0xa000

s32 SEC("struct_ops.s/init") BPF_PROG(memory_init)
{
	s32 cpu, err = scx_bpf_create_dsq(EVERYONE, -1);

	if (err)
		return err;
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(THREADS + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(memory_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (!p->mm) {
		scx_bpf_dsq_insert(p, THREADS + cpu, SCX_SLICE_DFL, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert(p, EVERYONE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(memory_dispatch, s32 cpu, struct task_struct *prev)
{
	if (!prev && scx_bpf_dsq_move_to_local(THREADS + cpu))
		return;
	if (prev && prev->pid == 0 && scx_bpf_dsq_move_to_local(THREADS + cpu))
		return;
	scx_bpf_dsq_move_to_local(EVERYONE);
}

SEC(".struct_ops.link")
struct sched_ext_ops memory_ops = {
	.enqueue = (void *)memory_enqueue,
	.dispatch = (void *)memory_dispatch,
	.init = (void *)memory_init,
	.name = "own_memory_first",
};
