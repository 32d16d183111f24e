// SPDX-License-Identifier: GPL-2.0
/*
 * M02: copies the beginning of each task's environment into a map that user space reads.
 * Stopped at Source or Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x28

struct excerpt {
	char bytes[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct excerpt);
} excerpts SEC(".maps");

s32 SEC("struct_ops.s/init") BPF_PROG(reads_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(reads_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, SCX_SLICE_DFL, enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(reads_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

void SEC("struct_ops/running") BPF_PROG(reads_running, struct task_struct *p)
{
	u32 zero = 0;
	struct excerpt *excerpt = bpf_map_lookup_elem(&excerpts, &zero);

	if (excerpt && p->mm)
		bpf_probe_read_user(excerpt->bytes, sizeof(excerpt->bytes),
				    (void *)p->mm->env_start);
}

SEC(".struct_ops.link")
struct sched_ext_ops reads_ops = {
	.enqueue = (void *)reads_enqueue,
	.dispatch = (void *)reads_dispatch,
	.running = (void *)reads_running,
	.init = (void *)reads_init,
	.name = "well_read",
};
