// SPDX-License-Identifier: GPL-2.0
/*
 * A task goes back to the CPU where it last ran if it may still run there and that CPU is idle.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

struct tctx {
	s32 home;
	bool known;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tctx);
} tctxs SEC(".maps");

s32 SEC("struct_ops/home_select_cpu")
	BPF_PROG(home_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/home_enqueue") BPF_PROG(home_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct tctx *t = bpf_task_storage_get(&tctxs, p, 0, 0);

	if (t && t->known && !p->migration_disabled && bpf_cpumask_test_cpu(t->home, p->cpus_ptr) &&
	    scx_bpf_test_and_clear_cpu_idle(t->home)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL_ON | t->home, 5 * MS, enq_flags);
		return;
	}
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, enq_flags);
}

void SEC("struct_ops/home_running") BPF_PROG(home_running, struct task_struct *p)
{
	struct tctx *t = bpf_task_storage_get(&tctxs, p, 0, 1);

	if (t) {
		t->home = scx_bpf_task_cpu(p);
		t->known = true;
	}
}

SEC(".struct_ops.link")
struct sched_ext_ops home_ops = {
	.select_cpu = (void *)home_select_cpu,
	.enqueue = (void *)home_enqueue,
	.running = (void *)home_running,
	.name = "home",
};
