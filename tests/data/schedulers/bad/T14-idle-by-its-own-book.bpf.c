// SPDX-License-Identifier: GPL-2.0
/*
 * T14: keeps its own book of idle CPUs. A CPU that a real-time task has taken from idle stays in
 * it, and wakeups go on being put into that CPU's local queue. Stopped at Bytecode or Dynamic:
 * beside a real-time hog.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define REST_Q 0x7e0
#define NO_CPU (-1)

static s32 idle_cpu = NO_CPU;

s32 SEC("struct_ops.s/init") BPF_PROG(book_init)
{
	return scx_bpf_create_dsq(REST_Q, -1);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(book_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	s32 cpu = idle_cpu;

	if (cpu >= 0 && bpf_cpumask_test_cpu(cpu, p->cpus_ptr)) {
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, SCX_SLICE_DFL, 0);
		return cpu;
	}
	return prev_cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(book_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, REST_Q, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(book_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(REST_Q);
}

void SEC("struct_ops/update_idle") BPF_PROG(book_update_idle, s32 cpu, bool idle)
{
	if (idle)
		idle_cpu = cpu;
}

void SEC("struct_ops/running") BPF_PROG(book_running, struct task_struct *p)
{
	if (idle_cpu == scx_bpf_task_cpu(p))
		idle_cpu = NO_CPU;
}

SEC(".struct_ops.link")
struct sched_ext_ops book_ops = {
	.select_cpu = (void *)book_select_cpu,
	.enqueue = (void *)book_enqueue,
	.dispatch = (void *)book_dispatch,
	.running = (void *)book_running,
	.update_idle = (void *)book_update_idle,
	.init = (void *)book_init,
	.name = "by_the_book",
};
