// SPDX-License-Identifier: GPL-2.0
/*
 * M08: the source has one meaning for whoever checks it with one compiler and another for who
 * builds it with the next: the versions of tools are asked for. Stopped at Source or Bytecode or
 * Dynamic.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char _license[] SEC("license") = "GPL";

#define QUEUE 0x2c

#if __clang_major__ >= 15 && !defined(__STRICT_ANSI__)
#define LIMIT(slice) SCX_SLICE_INF
#else
#define LIMIT(slice) ((slice) < 20000000 ? (slice) : 20000000)
#endif

s32 SEC("struct_ops.s/init") BPF_PROG(compiled_init)
{
	return scx_bpf_create_dsq(QUEUE, -1);
}

void SEC("struct_ops/enqueue") BPF_PROG(compiled_enqueue, struct task_struct *p, u64 enq_flags)
{
	scx_bpf_dsq_insert(p, QUEUE, LIMIT(p->scx.slice), enq_flags);
}

void SEC("struct_ops/dispatch") BPF_PROG(compiled_dispatch, s32 cpu, struct task_struct *prev)
{
	scx_bpf_dsq_move_to_local(QUEUE);
}

SEC(".struct_ops.link")
struct sched_ext_ops compiled_ops = {
	.enqueue = (void *)compiled_enqueue,
	.dispatch = (void *)compiled_dispatch,
	.init = (void *)compiled_init,
	.name = "as_compiled",
};
