// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs in groups of `group_cpus` that share a cache, each group with one queue by virtual time. A
 * task waits in the group of the CPU that it last ran on. A group without work takes from the
 * others, beginning with the next one, so that none is always first. Debt and credit are bounded.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define GROUP_BASE 0x5000

const volatile u32 group_cpus = 4;
const volatile u64 slice_ns = 5000000;
const volatile u64 debt_ns = 20000000;

static u64 clock_vtime;

static u32 nr_groups(void)
{
	return (scx_bpf_nr_cpu_ids() + group_cpus - 1) / (group_cpus ?: 1);
}

static u64 group_of(s32 cpu)
{
	return GROUP_BASE + (u32)cpu / (group_cpus ?: 1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(groups_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, slice_ns, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(groups_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;
	s32 idle;

	if ((s64)(clock_vtime - slice_ns - vtime) > 0)
		vtime = clock_vtime - slice_ns;
	if ((s64)(vtime - clock_vtime - debt_ns) > 0)
		vtime = clock_vtime + debt_ns;
	scx_bpf_dsq_insert_vtime(p, group_of(scx_bpf_task_cpu(p)), slice_ns, vtime, enq_flags);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(groups_dispatch, s32 cpu, struct task_struct *prev)
{
	u32 nr = nr_groups(), mine = group_of(cpu) - GROUP_BASE, step;

	bpf_for (step, 0, nr) {
		if (scx_bpf_dsq_move_to_local(GROUP_BASE + (mine + step) % nr))
			return;
	}
}

void SEC("struct_ops/running") BPF_PROG(groups_running, struct task_struct *p)
{
	if ((s64)(p->scx.dsq_vtime - clock_vtime) > 0)
		clock_vtime = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(groups_stopping, struct task_struct *p, bool runnable)
{
	u64 left = p->scx.slice;

	if (left < slice_ns)
		p->scx.dsq_vtime += (slice_ns - left) * 100 / (p->scx.weight ?: 1);
}

void SEC("struct_ops/enable") BPF_PROG(groups_enable, struct task_struct *p)
{
	p->scx.dsq_vtime = clock_vtime;
}

s32 SEC("struct_ops.s/init") BPF_PROG(groups_init)
{
	u32 group, nr = nr_groups();
	s32 err;

	bpf_for (group, 0, nr) {
		err = scx_bpf_create_dsq(GROUP_BASE + group, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops groups_ops = {
	.select_cpu = (void *)groups_select_cpu,
	.enqueue = (void *)groups_enqueue,
	.dispatch = (void *)groups_dispatch,
	.running = (void *)groups_running,
	.stopping = (void *)groups_stopping,
	.enable = (void *)groups_enable,
	.init = (void *)groups_init,
	.timeout_ms = 12000,
	.name = "cache_groups",
};
