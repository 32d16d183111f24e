// SPDX-License-Identifier: GPL-2.0
/*
 * A queue for each CPU, and it stays when CPUs come and go: whoever waits on a CPU that is gone is
 * taken by the others before their own, and new tasks are put where a CPU is.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define CPU_QUEUE 0x6000
#define CPUS_MAX  1024

static bool gone[CPUS_MAX];
static u32 nr_gone;

static bool is_gone(s32 cpu)
{
	return cpu >= 0 && cpu < CPUS_MAX && gone[cpu];
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(hotplug_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(hotplug_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p), idle;

	if (is_gone(cpu))
		cpu = 0;
	scx_bpf_dsq_insert(p, CPU_QUEUE + cpu, SCX_SLICE_DFL, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
	idle = scx_bpf_pick_idle_cpu(p->cpus_ptr, 0);
	if (idle >= 0)
		scx_bpf_kick_cpu(idle, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(hotplug_dispatch, s32 cpu, struct task_struct *prev)
{
	s32 nr = scx_bpf_nr_cpu_ids(), other;

	if (nr_gone) {
		bpf_for (other, 0, nr) {
			if (is_gone(other) && scx_bpf_dsq_move_to_local(CPU_QUEUE + other))
				return;
		}
	}
	if (scx_bpf_dsq_move_to_local(CPU_QUEUE + cpu))
		return;
	bpf_for (other, 0, nr) {
		if (scx_bpf_dsq_move_to_local(CPU_QUEUE + other))
			return;
	}
}

void SEC("struct_ops.s/cpu_online") BPF_PROG(hotplug_cpu_online, s32 cpu)
{
	if (is_gone(cpu)) {
		gone[cpu] = false;
		__sync_fetch_and_sub(&nr_gone, 1);
	}
}

void SEC("struct_ops.s/cpu_offline") BPF_PROG(hotplug_cpu_offline, s32 cpu)
{
	if (cpu >= 0 && cpu < CPUS_MAX && !gone[cpu]) {
		gone[cpu] = true;
		__sync_fetch_and_add(&nr_gone, 1);
	}
}

s32 SEC("struct_ops.s/init") BPF_PROG(hotplug_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(CPU_QUEUE + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

SEC(".struct_ops.link")
struct sched_ext_ops hotplug_ops = {
	.select_cpu = (void *)hotplug_select_cpu,
	.enqueue = (void *)hotplug_enqueue,
	.dispatch = (void *)hotplug_dispatch,
	.cpu_online = (void *)hotplug_cpu_online,
	.cpu_offline = (void *)hotplug_cpu_offline,
	.init = (void *)hotplug_init,
	.name = "lives_with_hotplug",
};
