// SPDX-License-Identifier: GPL-2.0
/*
 * T02: a task's number says which CPU's queue it waits in, whether it may run there or not, and
 * each CPU serves its own queue. The CPU is kicked.
 * Stopped at Bytecode or Dynamic: when a task may not run on the CPU of its number.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define HOME_BASE 0x7100

s32 SEC("struct_ops.s/init") BPF_PROG(homes_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(HOME_BASE + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

void SEC("struct_ops/enqueue") BPF_PROG(homes_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 home = p->pid % scx_bpf_nr_cpu_ids();

	scx_bpf_dsq_insert(p, HOME_BASE + home, 8000000, enq_flags);
	scx_bpf_kick_cpu(home, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(homes_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(HOME_BASE + cpu);
}

SEC(".struct_ops.link")
struct sched_ext_ops homes_ops = {
	.enqueue = (void *)homes_enqueue,
	.dispatch = (void *)homes_dispatch,
	.init = (void *)homes_init,
	.name = "homes_by_number",
};
