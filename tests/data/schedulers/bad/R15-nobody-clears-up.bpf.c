// SPDX-License-Identifier: GPL-2.0
/*
 * R15: takes note of CPUs that go, so that the kernel leaves it alone, and does nothing about their
 * queues: whoever is put there waits for a CPU that is off.
 * Stopped at Bytecode or Dynamic: when a CPU goes offline.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define OF_CPU 0x9000

static u64 offline_events;
static u64 next;

s32 SEC("struct_ops.s/init") BPF_PROG(ofcpu_init)
{
	s32 cpu, err;

	bpf_for (cpu, 0, scx_bpf_nr_cpu_ids()) {
		err = scx_bpf_create_dsq(OF_CPU + cpu, -1);
		if (err)
			return err;
	}
	return 0;
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(ofcpu_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(ofcpu_enqueue, struct task_struct *p, u64 enq_flags)
{
	s32 cpu = scx_bpf_task_cpu(p);

	if (p->nr_cpus_allowed == scx_bpf_nr_cpu_ids())
		cpu = __sync_fetch_and_add(&next, 1) % scx_bpf_nr_cpu_ids();
	scx_bpf_dsq_insert(p, OF_CPU + cpu, 10000000, enq_flags);
	scx_bpf_kick_cpu(cpu, SCX_KICK_IDLE);
}

void SEC("struct_ops/dispatch") BPF_PROG(ofcpu_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(OF_CPU + cpu);
}

void SEC("struct_ops.s/cpu_online") BPF_PROG(ofcpu_cpu_online, s32 cpu)
{
}

void SEC("struct_ops.s/cpu_offline") BPF_PROG(ofcpu_cpu_offline, s32 cpu)
{
	__sync_fetch_and_add(&offline_events, 1);
}

SEC(".struct_ops.link")
struct sched_ext_ops ofcpu_ops = {
	.select_cpu = (void *)ofcpu_select_cpu,
	.enqueue = (void *)ofcpu_enqueue,
	.dispatch = (void *)ofcpu_dispatch,
	.cpu_online = (void *)ofcpu_cpu_online,
	.cpu_offline = (void *)ofcpu_cpu_offline,
	.init = (void *)ofcpu_init,
	.name = "queues_of_cpus",
};
