// SPDX-License-Identifier: GPL-2.0
/*
 * Q04: asks for a task's weight once, when it comes, and a change of its nice value changes
 * nothing. Stopped at Contract, unless the policy waives nice.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define BORN_Q 0x59

const volatile u64 slice_ns = 5000000;

struct at_birth {
	u32 weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct at_birth);
} births SEC(".maps");

static u64 vnow;

s32 SEC("struct_ops.s/init") BPF_PROG(birth_init)
{
	return scx_bpf_create_dsq(BORN_Q, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(birth_enqueue, struct task_struct *p, u64 enq_flags)
{
	u64 vtime = p->scx.dsq_vtime;

	if ((s64)(vnow - slice_ns - vtime) > 0)
		vtime = vnow - slice_ns;
	if ((s64)(vtime - vnow - 20 * slice_ns) > 0)
		vtime = vnow + 20 * slice_ns;
	scx_bpf_dsq_insert_vtime(p, BORN_Q, slice_ns, vtime, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(birth_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(BORN_Q);
}

void SEC("struct_ops/running") BPF_PROG(birth_running, struct task_struct *p)
{
	if ((s64)(p->scx.dsq_vtime - vnow) > 0)
		vnow = p->scx.dsq_vtime;
}

void SEC("struct_ops/stopping") BPF_PROG(birth_stopping, struct task_struct *p, bool runnable)
{
	struct at_birth *birth = bpf_task_storage_get(&births, p, 0, 0);
	u32 weight = birth && birth->weight ? birth->weight : 100;

	if (p->scx.slice < slice_ns)
		p->scx.dsq_vtime += (slice_ns - p->scx.slice) * 100 / weight;
}

void SEC("struct_ops/enable") BPF_PROG(birth_enable, struct task_struct *p)
{
	struct at_birth *birth =
		bpf_task_storage_get(&births, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (birth && !birth->weight)
		birth->weight = p->scx.weight;
	p->scx.dsq_vtime = vnow;
}

SEC(".struct_ops.link")
struct sched_ext_ops birth_ops = {
	.enqueue = (void *)birth_enqueue,
	.dispatch = (void *)birth_dispatch,
	.running = (void *)birth_running,
	.stopping = (void *)birth_stopping,
	.enable = (void *)birth_enable,
	.init = (void *)birth_init,
	.name = "weight_at_birth",
};
