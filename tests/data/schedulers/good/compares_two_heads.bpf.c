// SPDX-License-Identifier: GPL-2.0
/*
 * Tasks of one CPU wait on it, the others in common, both by deadline. A CPU takes whichever of the
 * two that are first has the earlier deadline; where the kernel can show it the first of a queue
 * without taking a lock (7.x), it is asked for that.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define COMMON_Q 0xd0d
#define BOUND_Q	 0xd000

struct task_struct *scx_bpf_dsq_peek(u64 dsq_id) __ksym __weak;

static u64 first_deadline(u64 dsq_id)
{
	struct task_struct *p;

	if (bpf_ksym_exists(scx_bpf_dsq_peek)) {
		p = scx_bpf_dsq_peek(dsq_id);
		return p ? p->scx.dsq_vtime : ~0ULL;
	}
	bpf_for_each (scx_dsq, p, dsq_id, 0) {
		return p->scx.dsq_vtime;
	}
	return ~0ULL;
}

void SEC("struct_ops/enqueue") BPF_PROG(heads_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 weight = p->scx.weight ?: 1, ahead = 1000000000ULL / weight;
	u64 deadline = bpf_ktime_get_ns() + (ahead < 500000000 ? ahead : 500000000);
	s32 cpu = scx_bpf_task_cpu(p);

	if (p->nr_cpus_allowed == 1) {
		scx_bpf_dsq_insert_vtime(p, BOUND_Q + cpu, 5000000, deadline, enq_flags);
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
		return;
	}
	scx_bpf_dsq_insert_vtime(p, COMMON_Q, 5000000, deadline, enq_flags);
	cpu = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (cpu >= 0)
		scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(heads_dispatch, s32 cpu, struct task_struct *prev)
{
	bool bound = first_deadline(BOUND_Q + cpu) < first_deadline(COMMON_Q);

	if (bound && scx_bpf_dsq_move_to_local(BOUND_Q + cpu))
		return;
	if (!scx_bpf_dsq_move_to_local(COMMON_Q))
		scx_bpf_dsq_move_to_local(BOUND_Q + cpu);
}

s32 SEC("struct_ops.s/init") BPF_PROG(heads_init)
{
	s32 cpu, err = scx_bpf_create_dsq(COMMON_Q, -1);

	if (err)
		return err;
	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(BOUND_Q + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops heads_ops = {
	.enqueue = (void *)heads_enqueue,
	.dispatch = (void *)heads_dispatch,
	.init = (void *)heads_init,
	.name = "compares_two_heads",
};
