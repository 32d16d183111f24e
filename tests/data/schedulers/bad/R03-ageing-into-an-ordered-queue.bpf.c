// SPDX-License-Identifier: GPL-2.0
/*
 * R03: the urgent queue is ordered by deadline, and whoever waited too long elsewhere is moved to
 * it without one.
 * Stopped at Bytecode or Dynamic: when somebody ages while somebody urgent waits.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { URGENT = 0x71, PATIENT = 0x72 };

const volatile u64 age_ns = 80000000;

s32 SEC("struct_ops.s/init") BPF_PROG(ageing_init)
{
	s32 err = scx_bpf_create_dsq(URGENT, -1);

	return err ?: scx_bpf_create_dsq(PATIENT, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(ageing_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 now = bpf_ktime_get_ns();

	if (p->scx.weight > 100)
		scx_bpf_dsq_insert_vtime(p, URGENT, 5000000, now + 1000000, enq_flags);
	else
		scx_bpf_dsq_insert_vtime(p, PATIENT, 5000000, now, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(ageing_dispatch, s32 cpu, struct task_struct *prev)
{
	u64 now = bpf_ktime_get_ns();
	struct task_struct *p;

	bpf_for_each (scx_dsq, p, PATIENT, 0) {
		if (now - p->scx.dsq_vtime > age_ns)
			scx_bpf_dsq_move(&___it, p, URGENT, 0);
		break;
	}
	if (!scx_bpf_dsq_move_to_local(URGENT))
		scx_bpf_dsq_move_to_local(PATIENT);
}

SEC(".struct_ops.link")
struct sched_ext_ops ageing_ops = {
	.enqueue = (void *)ageing_enqueue,
	.dispatch = (void *)ageing_dispatch,
	.init = (void *)ageing_init,
	.name = "ages_to_urgent",
};
