// SPDX-License-Identifier: GPL-2.0
/*
 * T05: kernel threads of one CPU wait in the common queue, by virtual time, behind whoever has used
 * less; light ones among them wait for seconds, and what they do for others with them.
 * Stopped at Bytecode or Dynamic: when the machine is busy for long.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define COMMON 0xa6

static u64 furthest;

s32 SEC("struct_ops.s/init") BPF_PROG(common_init)
{
	return scx_bpf_create_dsq(COMMON, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(common_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;

	if ((p->flags & 0x200000) && p->nr_cpus_allowed == 1)
		vtime = furthest + 5000000000ULL;
	scx_bpf_dsq_insert_vtime(p, COMMON, 5000000, vtime, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(common_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(COMMON);
}

void SEC("struct_ops/running") BPF_PROG(common_running, struct task_struct *p)
{
	if ((s64)(p->scx.dsq_vtime - furthest) > 0)
		furthest = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(common_stopping, struct task_struct *p, bool runnable)
{
	if (p->scx.slice < 5000000)
		p->scx.dsq_vtime += (5000000 - p->scx.slice) * 100 / (p->scx.weight ?: 1);
}

void SEC("struct_ops/enable") BPF_PROG(common_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = furthest;
}

SEC(".struct_ops.link")
struct sched_ext_ops common_ops = {
	.enqueue = (void *)common_enqueue,
	.dispatch = (void *)common_dispatch,
	.running = (void *)common_running,
	.stopping = (void *)common_stopping,
	.enable = (void *)common_enable,
	.init = (void *)common_init,
	.name = "one_for_all",
};
