// SPDX-License-Identifier: GPL-2.0
/*
 * Q18: for two seconds after a control group has come or gone, tasks have slices of 200 ms and
 * nobody is woken for what waits: as often as pods come and go.
 * Stopped at Bytecode or Dynamic or Replay. Replayed as a service beside a batch.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CHURN_Q 0x97

static u64 changed_at;

s32 SEC("struct_ops.s/init") BPF_PROG(churn_init)
{
	return scx_bpf_create_dsq(CHURN_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(churn_enqueue, struct task_struct *p, u64 enq_flags)
{
	bool calm = bpf_ktime_get_ns() - changed_at > 2000000000ULL;
	s32 idle;

	scx_bpf_dsq_insert(p, CHURN_Q, calm ? 5000000 : 200000000, enq_flags);
	if (!calm)
		return;
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(churn_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(CHURN_Q);
}

s32 SEC("struct_ops.s/cgroup_init")
	BPF_PROG(churn_cgroup_init, struct cgroup *cgrp, struct scx_cgroup_init_args *args)
{
	changed_at = bpf_ktime_get_ns();
	return 0;
}

void SEC("struct_ops.s/cgroup_exit") BPF_PROG(churn_cgroup_exit, struct cgroup *cgrp)
{
	changed_at = bpf_ktime_get_ns();
}

SEC(".struct_ops.link")
struct sched_ext_ops churn_ops = {
	.enqueue = (void *)churn_enqueue,
	.dispatch = (void *)churn_dispatch,
	.cgroup_init = (void *)churn_cgroup_init,
	.cgroup_exit = (void *)churn_cgroup_exit,
	.init = (void *)churn_init,
	.name = "calm_and_churn",
};
