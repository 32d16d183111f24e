// SPDX-License-Identifier: GPL-2.0
/*
 * R14: remembers each task's weight and takes it for an error when it changes.
 * Stopped at Bytecode or Dynamic: kind 1025 when a task is reniced.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define STEADY 0xd2

struct seen {
	u32 weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct seen);
} seens SEC(".maps");

static char changed[] = "weight was %d and is %d";

s32 SEC("struct_ops.s/init") BPF_PROG(steady_init)
{
	return scx_bpf_create_dsq(STEADY, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(steady_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct seen *seen = bpf_task_storage_get(&seens, p, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (seen && seen->weight && seen->weight != p->scx.weight)
		scx_bpf_error_bstr(changed, (unsigned long long[]){seen->weight, p->scx.weight},
				   2 * sizeof(u64));
	if (seen)
		seen->weight = p->scx.weight;
	scx_bpf_dsq_insert(p, STEADY, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(steady_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(STEADY);
}

SEC(".struct_ops.link")
struct sched_ext_ops steady_ops = {
	.enqueue = (void *)steady_enqueue,
	.dispatch = (void *)steady_dispatch,
	.init = (void *)steady_init,
	.name = "steady_weights",
};
