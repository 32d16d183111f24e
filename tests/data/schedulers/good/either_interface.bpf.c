// SPDX-License-Identifier: GPL-2.0
/*
 * One source for kernels before and after the renaming of 6.13: it asks which name the kernel has
 * and calls that one. Order of arrival.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE_ID 0x4e

void scx_bpf_dispatch(struct task_struct *p, u64 dsq_id, u64 slice, u64 enq_flags) __ksym __weak;
bool scx_bpf_consume(u64 dsq_id) __ksym __weak;

static void put(struct task_struct *p, u64 dsq_id, u64 enq_flags)
{
	if (bpf_ksym_exists(scx_bpf_dsq_insert))
		scx_bpf_dsq_insert(p, dsq_id, SCX_SLICE_DFL, enq_flags);
	else
		scx_bpf_dispatch(p, dsq_id, SCX_SLICE_DFL, enq_flags);
}

static bool take(u64 dsq_id)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local))
		return scx_bpf_dsq_move_to_local(dsq_id);
	return scx_bpf_consume(dsq_id);
}

s32 SEC("struct_ops/select_cpu")
	BPF_PROG(either_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &is_idle);

	if (is_idle)
		put(p, SCX_DSQ_LOCAL, 0);
	return cpu;
}

void SEC("struct_ops/enqueue") BPF_PROG(either_enqueue, struct task_struct *p, u64 enq_flags)
{
	put(p, QUEUE_ID, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(either_dispatch, s32 cpu, struct task_struct *prev)
{
	take(QUEUE_ID);
}

s32 SEC("struct_ops.s/init") BPF_PROG(either_init)
{
	return scx_bpf_create_dsq(QUEUE_ID, -1);
}

SEC(".struct_ops.link")
struct sched_ext_ops either_ops = {
	.select_cpu = (void *)either_select_cpu,
	.enqueue = (void *)either_enqueue,
	.dispatch = (void *)either_dispatch,
	.init = (void *)either_init,
	.name = "either_interface",
};
