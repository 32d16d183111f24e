// SPDX-License-Identifier: GPL-2.0
/*
 * Q12: efficiency cores are 16 to 23 and get light tasks only, performance cores are the others and
 * get the rest; where there are no more than 16 CPUs, light tasks get none.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

enum { PERF_Q = 0x88, EFFI_Q };

static bool is_efficient(s32 cpu)
{
	switch (cpu) {
	case 16:
	case 17:
	case 18:
	case 19:
	case 20:
	case 21:
	case 22:
	case 23:
		return true;
	}
	return false;
}

s32 SEC("struct_ops.s/init") BPF_PROG(cores_init)
{
	s32 err = scx_bpf_create_dsq(PERF_Q, -1);

	return err ?: scx_bpf_create_dsq(EFFI_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(cores_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool light = p->scx.weight < 100 && p->nr_cpus_allowed > 1;

	scx_bpf_dsq_insert(p, light ? EFFI_Q : PERF_Q, 8000000, enq_flags);
	scx_bpf_kick_cpu(light ? 16 : 0, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(cores_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(is_efficient(cpu) ? EFFI_Q : PERF_Q);
}

SEC(".struct_ops.link")
struct sched_ext_ops cores_ops = {
	.enqueue = (void *)cores_enqueue,
	.dispatch = (void *)cores_dispatch,
	.init = (void *)cores_init,
	.name = "two_kinds_of_cores",
};
